"""Degraded images, as cameras, networks and hands degrade them: nine kinds, five severities.

The kinds and their severities follow ImageNet-C (Hendrycks and Dietterich, ICLR 2019, arXiv
1903.12261). Blur, noise, contrast and JPEG take the values that its authors chose for images of
64 px (Tiny ImageNet-C), as face crops are about that small; lengths grow with the image. Low
resolution takes the shares of ImageNet-C's pixelation. Low light and occlusion are not part of
ImageNet-C; this project chose their values.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from ke2nt.data.corruption_filters import FILTERS, shrink, to_bytes
from ke2nt.data.sample import ChangedImage, FaceSample, FaceSplit
from ke2nt.errors import DataError
from ke2nt.runtime.seeding import derive_seed
from ke2nt.runtime.suggest import did_you_mean

__all__ = ["KINDS", "LONGEST_SIDE", "MIXED", "SEVERITIES", "Corruption", "corrupt"]

MIXED = "mixed"
LONGEST_SIDE = 112
"""Larger images are shrunk to this side first, so that a severity means the same for all."""

SEVERITIES: Mapping[str, tuple[float, ...]] = {
    "gaussian_blur": (0.5, 0.75, 1.0, 1.25, 1.5),  # standard deviation in px of 64
    "motion_blur": (1.0, 1.5, 2.0, 2.5, 3.0),  # standard deviation along the path in px of 64
    "gaussian_noise": (0.04, 0.08, 0.12, 0.15, 0.18),  # standard deviation, white = 1
    "shot_noise": (250, 100, 50, 30, 15),  # photons per white pixel
    "jpeg": (65, 58, 50, 40, 25),  # quality
    "low_light": (1, 2, 3, 4, 5),  # missing stops of exposure
    "contrast": (0.4, 0.3, 0.2, 0.1, 0.05),  # remaining share of the contrast
    "occlusion": (0.05, 0.1, 0.2, 0.3, 0.4),  # covered share of the area
    "low_resolution": (0.6, 0.5, 0.4, 0.3, 0.25),  # remaining share of the side
}
KINDS = tuple(SEVERITIES)


@dataclass(frozen=True, slots=True)
class Corruption:
    """One change of one image.

    Attributes:
        kind: One of `KINDS`.
        severity: 1 to 5.
        seed: Seed of all random values (noise, direction, position), independent of the severity.
    """

    kind: str
    severity: int
    seed: int

    def __call__(self, pixels: np.ndarray) -> np.ndarray:
        """uint8 (H, W, 3) RGB → uint8 of the same shape, or shrunk to `LONGEST_SIDE`.

        A gray image stays gray.
        """
        # one channel for gray images, or noise would color them
        gray = bool((pixels == pixels[:, :, :1]).all())
        small = shrink(pixels[:, :, :1] if gray else pixels, LONGEST_SIDE)

        strength = SEVERITIES[self.kind][self.severity - 1]
        rng = np.random.default_rng(self.seed)
        changed = to_bytes(FILTERS[self.kind](small / np.float32(255), strength, rng))
        return np.repeat(changed, 3, axis=2) if gray else changed


def _is_corrupted(sample: FaceSample) -> bool:
    # faces that are cut out of photographs are changed, too
    source = sample.source
    return isinstance(source, ChangedImage) and isinstance(source.change, Corruption)


def corrupt(split: FaceSplit, kind: str, severity: int, *, seed: int = 0) -> FaceSplit:
    """A split whose images are degraded when they are read; nothing is read or copied here.

    Args:
        split: The split.
        kind: One of `KINDS`, or "mixed": a random kind for each image.
        severity: 1 to 5.
        seed: Seed of all random values; each image also uses its name.

    Raises:
        DataError: The kind or severity is unknown, or the images are corrupted already.
    """
    if any(_is_corrupted(sample) for sample in split.samples):
        raise DataError("the images are changed already", where=split.dataset)
    if kind not in (*KINDS, MIXED):
        raise DataError(
            f"unknown corruption {kind!r}",
            expected=f"one of {', '.join(KINDS)}, or {MIXED}",
            hint=did_you_mean(str(kind), (*KINDS, MIXED)),
        )
    if type(severity) is not int or not 1 <= severity <= 5:
        raise DataError(
            "severity is out of range", expected="a whole number 1 to 5", found=repr(severity)
        )

    # The seeds come from the names, so that an image changes the same way in any part of a split
    def corrupt_sample(sample: FaceSample) -> FaceSample:
        random_kind = KINDS[derive_seed(seed, MIXED, sample.name) % len(KINDS)]
        sample_kind = random_kind if kind == MIXED else kind
        change = Corruption(sample_kind, severity, derive_seed(seed, sample_kind, sample.name))
        return replace(sample, source=ChangedImage(sample.source, change))

    return replace(
        split,
        dataset=f"{split.dataset} {kind} {severity}",
        samples=tuple(corrupt_sample(sample) for sample in split.samples),
    )
