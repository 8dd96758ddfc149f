"""Small labeled image folders."""

from __future__ import annotations

import numpy as np
from PIL import Image

CLASSES = ("neutral", "happiness", "anger")


def write_images(root, counts, *, color=False):
    """Classes that differ by where they are bright."""
    rng = np.random.default_rng(0)
    for split in ("train", "val"):
        for label, (name, count) in enumerate(counts.items()):
            (root / split / name).mkdir(parents=True)
            for i in range(count):
                shape = (16, 16, 3) if color else (16, 16)
                pixels = rng.integers(0, 120, shape, dtype=np.uint8)
                pixels[5 * label : 5 * label + 5] += 120
                Image.fromarray(pixels).save(root / split / name / f"{i}.png")
    return root
