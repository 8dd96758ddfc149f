"""What every dataset reader gives: samples, and splits of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from typing import TypeAlias

import numpy as np

__all__ = [
    "ChangedImage",
    "FaceSample",
    "FaceSplit",
    "ImageSource",
    "PackedImage",
    "origin",
    "packed_pixels",
]


@lru_cache(maxsize=64)
def packed_pixels(path: Path) -> np.ndarray:
    """The array of a packed split, uint8 (N, S, S, 3) RGB, mapped into memory and not read yet."""
    pixels: np.ndarray = np.load(path, mmap_mode="c")
    return pixels


@dataclass(frozen=True, slots=True)
class PackedImage:
    """One image of a packed split.

    Attributes:
        path: The array's .npy file.
        row: Its row there.
        side: The longer side of such pictures before they were packed, in pixels, where known.
    """

    path: Path
    row: int
    side: int | None = None

    def read(self) -> np.ndarray:
        """The pixels, uint8 (S, S, 3) RGB."""
        pixels: np.ndarray = packed_pixels(self.path)[self.row]
        return pixels


@dataclass(frozen=True, slots=True)
class ChangedImage:
    """An image that is made from another one each time it is read.

    Attributes:
        source: The other one.
        change: uint8 (H, W, 3) RGB → the same kind of array. Its `repr` says all that its result
            depends on.
    """

    source: Path | np.ndarray | PackedImage
    change: Callable[[np.ndarray], np.ndarray]


ImageSource: TypeAlias = Path | np.ndarray | PackedImage | ChangedImage
"""An image file, pixels, uint8 (H, W) or (H, W, 3) RGB, a place in a packed split, or a change."""


def origin(source: ImageSource) -> Path | np.ndarray | PackedImage:
    """Where the pixels come from, before any change."""
    return source.source if isinstance(source, ChangedImage) else source


@dataclass(frozen=True, slots=True)
class FaceSample:
    """One face image and what is known of it; the image itself is not read yet.

    Attributes:
        name: Unique within its split, such as a path relative to the dataset's root.
        source: Where the image is.
        label: Class index in the split's label set.
        distribution: Share of each class, K values that sum to 1, where annotators voted.
        subject: Identity of the person, where known.
        attributes: Further facts, such as {"gender": "female", "age": "20-39"}.
    """

    name: str
    source: ImageSource
    label: int
    distribution: tuple[float, ...] | None = None
    subject: str | None = None
    attributes: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class FaceSplit:
    """The samples of one split of one dataset, in a fixed order.

    Attributes:
        dataset: Reader name, such as "ferplus".
        split: "train", "val", "test" or another split of the dataset.
        classes: Label set in index order; K classes.
        samples: The samples, N of them.
    """

    dataset: str
    split: str
    classes: tuple[str, ...]
    samples: tuple[FaceSample, ...]

    def __len__(self) -> int:
        return len(self.samples)

    def labels(self) -> np.ndarray:
        """Class indices, int64 (N,)."""
        return np.array([sample.label for sample in self.samples], dtype=np.int64)

    def distributions(self) -> np.ndarray:
        """Class shares, float32 (N, K), rows sum to 1; one-hot where a sample carries none."""
        rows = np.zeros((len(self), len(self.classes)), dtype=np.float32)
        for row, sample in zip(rows, self.samples, strict=True):
            if sample.distribution is None:
                row[sample.label] = 1.0
            else:
                row[:] = sample.distribution
        return rows

    def subset(self, indices: Iterable[int], *, split: str | None = None) -> FaceSplit:
        """The samples at some indices, in that order, optionally under another split name."""
        chosen = tuple(self.samples[i] for i in indices)
        return replace(self, samples=chosen, split=split or self.split)

    def spread(self, limit: int | None) -> FaceSplit:
        """At most `limit` samples, at even distances over the split."""
        if limit is None or limit >= len(self):
            return self
        return self.subset(i * len(self) // limit for i in range(limit))
