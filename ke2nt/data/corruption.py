"""Pictures made worse, as cameras, networks and hands do it: nine kinds, five severities each.

The kinds and their severities follow ImageNet-C (Hendrycks and Dietterich, ICLR 2019, arXiv
1903.12261). Blur, noise, contrast and JPEG take the values that its authors chose for pictures of
64 px (Tiny ImageNet-C), as face crops are about so small; lengths grow with the picture. Low
resolution takes the shares of ImageNet-C's pixelation. Low light and occlusion are not part of
ImageNet-C; their values are this project's own.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch.nn import functional

from ke2nt.data.images import jpeg_compressed
from ke2nt.data.sample import ChangedImage, FaceSample, FaceSplit, origin
from ke2nt.errors import DataError
from ke2nt.runtime.seeding import derive_seed
from ke2nt.runtime.suggest import did_you_mean

__all__ = ["KINDS", "LONGEST_SIDE", "MIXED", "SEVERITIES", "Corruption", "corrupt"]

MIXED = "mixed"
LONGEST_SIDE = 112
"""Larger pictures are shrunk to this side first, so that a severity means the same to all."""

_SIDE = 64  # px, of the pictures that the lengths below were chosen for
_PHOTONS = 1000  # that a white pixel receives in full light
_COVER = 0.5  # gray

SEVERITIES: Mapping[str, tuple[float, ...]] = {
    "gaussian_blur": (0.5, 0.75, 1.0, 1.25, 1.5),  # standard deviation in px of 64
    "motion_blur": (1.0, 1.5, 2.0, 2.5, 3.0),  # standard deviation along the path in px of 64
    "gaussian_noise": (0.04, 0.08, 0.12, 0.15, 0.18),  # standard deviation, white = 1
    "shot_noise": (250, 100, 50, 30, 15),  # photons of a white pixel
    "jpeg": (65, 58, 50, 40, 25),  # quality
    "low_light": (1, 2, 3, 4, 5),  # stops of exposure that are missing
    "contrast": (0.4, 0.3, 0.2, 0.1, 0.05),  # share of the contrast that is left
    "occlusion": (0.05, 0.1, 0.2, 0.3, 0.4),  # share of the area that is covered
    "low_resolution": (0.6, 0.5, 0.4, 0.3, 0.25),  # share of the side that is left
}
KINDS = tuple(SEVERITIES)


@dataclass(frozen=True, slots=True)
class Corruption:
    """One change of one picture.

    Attributes:
        kind: One of `KINDS`.
        severity: 1 to 5.
        seed: Of what is drawn (noise, direction, place); the severity does not change it.
    """

    kind: str
    severity: int
    seed: int

    def __call__(self, pixels: np.ndarray) -> np.ndarray:
        """uint8 (H, W, 3) RGB → uint8 of the same shape, or shrunk to `LONGEST_SIDE`.

        A gray picture stays gray.
        """
        gray = bool((pixels == pixels[:, :, :1]).all())
        image = _shrunk(pixels[:, :, :1] if gray else pixels) / np.float32(255)
        strength = SEVERITIES[self.kind][self.severity - 1]
        changed = _CHANGES[self.kind](image, strength, np.random.default_rng(self.seed))
        return np.repeat(_bytes(changed), 3, axis=2) if gray else _bytes(changed)


def corrupt(split: FaceSplit, kind: str, severity: int, *, seed: int = 0) -> FaceSplit:
    """A split whose pictures are made worse when they are read; nothing is read or copied here.

    Args:
        split: The split.
        kind: One of `KINDS`, or "mixed": one kind a picture, drawn.
        severity: 1 to 5.
        seed: Seed of all that is drawn, for each picture from its name.

    Raises:
        DataError: The kind or severity is not known, or the pictures are changed already.
    """
    if any(isinstance(sample.source, ChangedImage) for sample in split.samples):
        raise DataError("the pictures are changed already", where=split.dataset)
    if kind not in (*KINDS, MIXED):
        raise DataError(
            f"unknown corruption {kind!r}",
            expected=f"one of {', '.join(KINDS)}, or {MIXED}",
            hint=did_you_mean(str(kind), (*KINDS, MIXED)),
        )
    if type(severity) is not int or not 1 <= severity <= 5:
        raise DataError("not a severity", expected="a whole number 1 to 5", found=repr(severity))

    def changed(sample: FaceSample) -> FaceSample:
        drawn = derive_seed(seed, MIXED, sample.name) % len(KINDS)
        own = KINDS[drawn] if kind == MIXED else kind
        change = Corruption(own, severity, derive_seed(seed, own, sample.name))
        return replace(sample, source=ChangedImage(origin(sample.source), change))

    return replace(
        split,
        dataset=f"{split.dataset} {kind} {severity}",
        samples=tuple(changed(sample) for sample in split.samples),
    )


def _shrunk(pixels: np.ndarray) -> np.ndarray:
    height, width = pixels.shape[:2]
    scale = LONGEST_SIDE / max(height, width)
    return pixels if scale >= 1 else _reduced(pixels, scale)


def _reduced(pixels: np.ndarray, scale: float) -> np.ndarray:
    """A smaller picture, antialiased."""
    size = [max(1, round(scale * side)) for side in pixels.shape[:2]]
    return _array(functional.interpolate(_planes(pixels), size, mode="bilinear", antialias=True))


def _planes(image: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(np.ascontiguousarray(image, dtype=np.float32)).permute(2, 0, 1)[:, None]


def _array(planes: torch.Tensor) -> np.ndarray:
    array: np.ndarray = planes[:, 0].permute(1, 2, 0).numpy()
    return array


def _bytes(image: np.ndarray) -> np.ndarray:
    return np.rint(255 * image.clip(0, 1)).astype(np.uint8)


def _convolved(image: np.ndarray, kernel: np.ndarray) -> np.ndarray:
    """A picture, its border repeated outwards, under a square kernel of odd side."""
    pad = kernel.shape[0] // 2
    planes = functional.pad(_planes(image), [pad] * 4, mode="replicate")
    weights = torch.from_numpy((kernel / kernel.sum()).astype(np.float32))
    return _array(functional.conv2d(planes, weights[None, None]))


def _sigma(image: np.ndarray, strength: float) -> float:
    return strength * max(image.shape[:2]) / _SIDE


def _gaussian_blur(image: np.ndarray, strength: float, _: np.random.Generator) -> np.ndarray:
    sigma = _sigma(image, strength)
    reach = np.arange(-int(np.ceil(3 * sigma)), int(np.ceil(3 * sigma)) + 1)
    profile = np.exp(-(reach**2) / (2 * sigma**2))
    return _convolved(image, np.outer(profile, profile))


def _motion_blur(image: np.ndarray, strength: float, rng: np.random.Generator) -> np.ndarray:
    """Trail from each point, half a Gaussian long, at an angle of -45 to 45 degrees."""
    sigma = _sigma(image, strength)
    reach = int(np.ceil(3 * sigma))
    angle = rng.uniform(-np.pi / 4, np.pi / 4)
    steps = np.linspace(0, 3 * sigma, 8 * reach + 1)
    weights = np.exp(-(steps**2) / (2 * sigma**2))
    kernel = np.zeros((2 * reach + 1, 2 * reach + 1))
    rows = np.rint(reach - steps * np.sin(angle)).astype(int)
    columns = np.rint(reach + steps * np.cos(angle)).astype(int)
    np.add.at(kernel, (rows, columns), weights)
    return _convolved(image, kernel)


def _gaussian_noise(image: np.ndarray, strength: float, rng: np.random.Generator) -> np.ndarray:
    return image + strength * rng.standard_normal(image.shape, dtype=np.float32)


def _shot_noise(image: np.ndarray, strength: float, rng: np.random.Generator) -> np.ndarray:
    return rng.poisson(image * strength) / strength


def _jpeg(image: np.ndarray, strength: float, _: np.random.Generator) -> np.ndarray:
    return jpeg_compressed(_bytes(image), int(strength)) / np.float32(255)


def _low_light(image: np.ndarray, strength: float, rng: np.random.Generator) -> np.ndarray:
    """Less light on the sensor, with the photon noise that this brings; sRGB curve."""
    light = np.where(image <= 0.04045, image / 12.92, ((image + 0.055) / 1.055) ** 2.4)
    light = rng.poisson(light * 2.0**-strength * _PHOTONS) / _PHOTONS
    return np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055)


def _contrast(image: np.ndarray, strength: float, _: np.random.Generator) -> np.ndarray:
    mean = image.mean(axis=(0, 1))
    return mean + strength * (image - mean)


def _occlusion(image: np.ndarray, strength: float, rng: np.random.Generator) -> np.ndarray:
    """A gray rectangle of the picture's shape, wholly inside it."""
    share = np.sqrt(strength)
    height, width = (max(1, round(share * side)) for side in image.shape[:2])
    row, column = rng.random(2)  # drawn as shares, so that the place hardly moves with severity
    top = round(row * (image.shape[0] - height))
    left = round(column * (image.shape[1] - width))
    covered = image.copy()
    covered[top : top + height, left : left + width] = _COVER
    return covered


def _low_resolution(image: np.ndarray, strength: float, _: np.random.Generator) -> np.ndarray:
    small = _planes(_reduced(image, strength))
    size = list(image.shape[:2])
    return _array(functional.interpolate(small, size, mode="bicubic", align_corners=False))


_CHANGES: Mapping[str, Callable[[np.ndarray, float, np.random.Generator], np.ndarray]] = {
    "gaussian_blur": _gaussian_blur,
    "motion_blur": _motion_blur,
    "gaussian_noise": _gaussian_noise,
    "shot_noise": _shot_noise,
    "jpeg": _jpeg,
    "low_light": _low_light,
    "contrast": _contrast,
    "occlusion": _occlusion,
    "low_resolution": _low_resolution,
}
