"""An image encoder that needs no model, counts what it does, and can be made to fail."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import numpy as np
import torch

from ke2nt.data.images import decode
from ke2nt.data.sample import FaceSample, FaceSplit
from ke2nt.vlm.base import ImageEncoder

CLASSES = ("neutral", "happiness")


class FakeImageEncoder(ImageEncoder):
    """Embeds an image as 6 numbers drawn from a hash of its pixels."""

    id, text_encoder, logit_scale = "fake:images", "minilm", 42.0

    def __init__(self, weights="w", size=8, log: Path | None = None, stop_after: int | None = None):
        self._weights, self._size, self._log = weights, size, log
        self.stop_after, self.loaded, self.embedded = stop_after, 0, 0

    def weights(self):
        return self._weights

    def text_weights(self):
        return None

    def preprocessing_facts(self):
        return {"size": self._size}

    def preprocess(self, source):
        rgb = decode(source, size=self._size)
        return np.ascontiguousarray(rgb.transpose(2, 0, 1))

    def load(self, device):
        self.loaded += 1
        if self._log is not None:
            with self._log.open("a") as file:
                file.write(f"{os.getpid()}\n")

    def encode_image(self, pixels):
        rows = []
        for image in pixels.numpy():
            if self.stop_after is not None and self.embedded >= self.stop_after:
                raise KeyboardInterrupt
            self.embedded += 1
            seed = int.from_bytes(hashlib.sha256(image.tobytes()).digest()[:8], "big")
            rows.append(np.random.default_rng(seed).normal(size=6))
        return torch.tensor(np.array(rows), dtype=torch.float32)


def random_images(count, seed=0, split="test"):
    """A split of random pixels in memory."""
    rng = np.random.default_rng(seed)
    samples = tuple(
        FaceSample(f"{i:04d}", rng.integers(0, 256, (9, 7, 3), dtype=np.uint8), i % 2)
        for i in range(count)
    )
    return FaceSplit("random", split, CLASSES, samples)


def expected(split):
    """Slow oracle: each image embedded alone, (N, 6) unit norm."""
    encoder = FakeImageEncoder()
    rows = []
    for sample in split.samples:
        pixels = torch.from_numpy(encoder.preprocess(sample.source))
        rows.append(encoder.encode_image(pixels[None]))
    vectors = torch.cat(rows).numpy()
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
