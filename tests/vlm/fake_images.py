"""An image encoder that needs no model, counts what it does, and can be made to fail."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import numpy as np
import torch

from ke2nt.data.images import decode
from ke2nt.data.sample import FaceSample, FaceSplit
from ke2nt.vlm.image_encoder import ImageEncoder, Tower

CLASSES = ("neutral", "happiness")


class FakeImages(ImageEncoder):
    """Embeds an image as numbers drawn from a hash of its pixels."""

    def __init__(self, weights="w", size=8, log: Path | None = None, stop_after: int | None = None):
        self.id, self.text_encoder = "fake:images", "minilm"
        self._weights, self._size, self._log = weights, size, log
        self.stop_after, self.loaded, self.embedded = stop_after, 0, 0

    def weights(self):
        return self._weights

    def text_weights(self):
        return None

    def preprocessing(self):
        return {"size": self._size}

    def read(self, source):
        rgb = decode(source, size=self._size)
        return np.ascontiguousarray(rgb.transpose(2, 0, 1))

    def load(self, device):
        self.loaded += 1
        if self._log is not None:
            with self._log.open("a") as file:
                file.write(f"{os.getpid()}\n")
        return FakeTower(self, device)


class FakeTower(Tower):
    def __init__(self, owner, device):
        self.owner, self.device, self.logit_scale = owner, device, 42.0

    def __call__(self, pixels):
        rows = []
        for image in pixels.numpy():
            if self.owner.stop_after is not None and self.owner.embedded >= self.owner.stop_after:
                raise KeyboardInterrupt
            self.owner.embedded += 1
            seed = int.from_bytes(hashlib.sha256(image.tobytes()).digest()[:8], "big")
            rows.append(np.random.default_rng(seed).normal(size=6))
        return torch.tensor(np.array(rows), dtype=torch.float32)


def drawn(count, seed=0, split="test"):
    """Samples of pixels in memory."""
    rng = np.random.default_rng(seed)
    samples = tuple(
        FaceSample(f"{i:04d}", rng.integers(0, 256, (9, 7, 3), dtype=np.uint8), i % 2)
        for i in range(count)
    )
    return FaceSplit("drawn", split, CLASSES, samples)


def expected(split):
    """Slowly: each image alone."""
    tower = FakeTower(FakeImages(), torch.device("cpu"))
    rows = [tower(torch.from_numpy(tower.owner.read(s.source))[None]) for s in split.samples]
    vectors = torch.cat(rows).numpy()
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
