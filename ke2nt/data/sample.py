"""Samples and splits: what every dataset reader returns."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from typing import TypeAlias

import numpy as np

from ke2nt.data.video_frame import VideoFrame
from ke2nt.errors import ImageReadError

__all__ = [
    "ChangedImage",
    "DamagedImage",
    "EncodedImage",
    "FaceSample",
    "FaceSplit",
    "ImageSource",
    "PackedImage",
    "PlainSource",
    "origin",
    "packed_pixels",
]


@lru_cache(maxsize=64)
def packed_pixels(path: Path) -> np.ndarray:
    """The array of a packed split, uint8 (N, S, S, 3) RGB, mapped into memory but not read."""
    pixels: np.ndarray = np.load(path, mmap_mode="c")
    return pixels


@dataclass(frozen=True, slots=True)
class PackedImage:
    """One image of a packed split.

    Attributes:
        path: The array's .npy file.
        row: Row of the image in the array.
        side: The longer side of the split's images before they were packed, in pixels, if known.
    """

    path: Path
    row: int
    side: int | None = None

    def read(self) -> np.ndarray:
        """The pixels, uint8 (S, S, 3) RGB."""
        pixels: np.ndarray = packed_pixels(self.path)[self.row]
        return pixels


@dataclass(frozen=True, slots=True)
class EncodedImage:
    """An image file that lies in memory, such as a cell of a table.

    Attributes:
        content: The bytes of the file.
    """

    content: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class DamagedImage:
    """An image that an annotation file should hold, but does not: it counts as unreadable.

    Attributes:
        where: File and line.
        reason: What is there instead.
    """

    where: str
    reason: str

    def read(self) -> np.ndarray:
        """Raise ImageReadError: there are no pixels."""
        raise ImageReadError("the pixels cannot be read", where=self.where, found=self.reason)


@dataclass(frozen=True, slots=True)
class ChangedImage:
    """An image that is made from another one each time it is read.

    Attributes:
        source: The other image, which may be changed itself.
        change: uint8 (H, W, 3) RGB → the same kind of array. Its `repr` holds everything that the
            result depends on.
    """

    source: ImageSource
    change: Callable[[np.ndarray], np.ndarray]


PlainSource: TypeAlias = Path | np.ndarray | PackedImage | EncodedImage | VideoFrame | DamagedImage
"""An image file, on disk or in memory; uint8 pixels (H, W) or (H, W, 3) RGB; a row of a packed
split; a frame of a video; or the note that there is no image."""
ImageSource: TypeAlias = PlainSource | ChangedImage
"""A plain source, or a change of one."""


def origin(source: ImageSource) -> PlainSource:
    """The source of the pixels, before any change."""
    while isinstance(source, ChangedImage):
        source = source.source
    return source


@dataclass(frozen=True, slots=True)
class FaceSample:
    """One face image and its annotations; the image itself is not read yet.

    Attributes:
        name: Unique within its split, such as a path relative to the dataset's root.
        source: Where the image is.
        label: Class index in the split's label set.
        distribution: Share of the votes for each class, K values that sum to 1, if there were any.
        subject: Identity of the person, if known.
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
        samples: N samples.
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
        """Label distributions, float32 (N, K), rows sum to 1; one-hot where a sample has none."""
        # one row per sample
        rows = np.zeros((len(self), len(self.classes)), dtype=np.float32)
        for row, sample in zip(rows, self.samples, strict=True):
            if sample.distribution is None:
                row[sample.label] = 1.0
            else:
                row[:] = sample.distribution
        return rows

    def subset(self, indices: Iterable[int], *, split: str | None = None) -> FaceSplit:
        """The samples at some indices, in that order; optionally with another split name."""
        chosen = tuple(self.samples[i] for i in indices)
        return replace(self, samples=chosen, split=split or self.split)

    def spread(self, limit: int | None) -> FaceSplit:
        """At most `limit` samples, evenly spaced over the split; all of them for None."""
        if limit is None or limit >= len(self):
            return self
        return self.subset(i * len(self) // limit for i in range(limit))
