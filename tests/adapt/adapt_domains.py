"""Images of two domains, drawn with a few lines."""

from __future__ import annotations

import numpy as np
from PIL import Image

CLASSES = ("neutral", "happiness", "anger")


def draw(root, count, *, shift, seed, classes=CLASSES):
    """Images of classes that differ by where they are bright; domains differ by contrast."""
    rng = np.random.default_rng(seed)
    for label, name in enumerate(classes):
        folder = root / name
        folder.mkdir(parents=True)
        for i in range(count):
            pixels = rng.integers(0, 120, (24, 24, 3)).astype(np.float64)
            pixels[8 * label : 8 * label + 8] += 100
            Image.fromarray((pixels * (1 - shift) + 60 * shift).astype(np.uint8)).save(
                folder / f"{name}{i}.png"
            )
