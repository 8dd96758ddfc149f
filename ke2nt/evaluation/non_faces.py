"""Images for fitting a familiarity: no faces, and faces as a detector crops them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from ke2nt.data.crop import crop_turned
from ke2nt.data.sample import ChangedImage, FaceSample, FaceSplit
from ke2nt.drawn.backgrounds import draw_background
from ke2nt.runtime.seeding import derive_seed

__all__ = ["BACKGROUNDS", "PARTS", "loose_crops", "non_faces"]

BACKGROUNDS = 2000
PARTS = 2000

_PART = (0.2, 0.4)  # side of a part, as a share of the image's
_ZOOM = (0.85, 1.3)
_SHIFT = 0.1  # of the side
_DEGREES = 25.0


@dataclass(frozen=True, slots=True)
class _Square:
    """Cuts a random turned square out of an image.

    Attributes:
        seed: Of all random values.
        side: Smallest and largest side, as shares of the image's shorter side.
        shift: Largest distance of the center from that of the image, as a share of the same.
        degrees: Largest angle.
    """

    seed: int
    side: tuple[float, float]
    shift: float
    degrees: float

    def __call__(self, pixels: np.ndarray) -> np.ndarray:
        """uint8 (H, W, 3) → (S, S, 3)."""
        rng = np.random.default_rng(self.seed)
        height, width = pixels.shape[:2]
        short = min(height, width)
        side = max(2, round(short * rng.uniform(*self.side)))
        shift_x, shift_y = rng.uniform(-self.shift, self.shift, 2) * short
        center = (width / 2 + shift_x, height / 2 + shift_y)
        return crop_turned(pixels, center, side, rng.uniform(-self.degrees, self.degrees))


def loose_crops(split: FaceSplit, *, seed: int = 0) -> FaceSplit:
    """A split whose faces are shifted, turned, and cropped wider or closer."""
    return replace(split, samples=tuple(_change(split, seed, _ZOOM, _SHIFT, _DEGREES)))


def non_faces(
    split: FaceSplit,
    side: int,
    *,
    backgrounds: int = BACKGROUNDS,
    parts: int = PARTS,
    seed: int = 0,
) -> FaceSplit:
    """Images without a face: drawn backgrounds, and small parts of the faces of a split.

    Args:
        split: Cropped faces.
        side: Side of the backgrounds in pixels, that of the faces.
        backgrounds: Their number.
        parts: Largest number of faces to take a part of, spread over the split.
        seed: Seed of all random values.
    """
    rng = np.random.default_rng(derive_seed(seed, "backgrounds"))
    drawn = [
        FaceSample(f"background {i}", draw_background(rng, side), 0) for i in range(backgrounds)
    ]

    # anywhere but wholly outside: a cheek, a brow, a corner of the mouth, hair
    few = split.spread(min(parts, len(split)))
    samples = (*drawn, *_change(few, seed + 1, _PART, 0.5 - _PART[0] / 2, 180.0))
    return replace(split, dataset="no faces", samples=samples)


def _change(
    split: FaceSplit, seed: int, side: tuple[float, float], shift: float, degrees: float
) -> Iterator[FaceSample]:
    for sample in split.samples:
        square = _Square(derive_seed(seed, "square", sample.name), side, shift, degrees)
        yield replace(sample, source=ChangedImage(sample.source, square))
