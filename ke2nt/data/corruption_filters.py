"""The nine corruptions, each as a filter (image, strength, rng) → image.

Images are float32 (H, W, C) in [0, 1] with C = 1 or 3, and so are the results, before clipping.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

import numpy as np

from ke2nt.data.images import jpeg_compressed

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["FILTERS", "shrink", "to_bytes"]

_REFERENCE_SIDE = 64  # px, of the images that blur lengths were chosen for
_WHITE_PHOTONS = 1000  # photons per white pixel in full light
_COVER_GRAY = 0.5


def shrink(pixels: np.ndarray, longest_side: int) -> np.ndarray:
    """Pixels (H, W, C), reduced until no side is longer than `longest_side`."""
    height, width = pixels.shape[:2]
    scale = longest_side / max(height, width)
    return pixels if scale >= 1 else _reduced(pixels, scale)


def to_bytes(image: np.ndarray) -> np.ndarray:
    """An image in [0, 1] as uint8, values outside clipped."""
    return np.rint(255 * image.clip(0, 1)).astype(np.uint8)


def _reduced(pixels: np.ndarray, scale: float) -> np.ndarray:
    """A smaller image, antialiased."""
    from torch.nn import functional

    size = [max(1, round(scale * side)) for side in pixels.shape[:2]]
    return _array(functional.interpolate(_planes(pixels), size, mode="bilinear", antialias=True))


def _planes(image: np.ndarray) -> Tensor:
    """(H, W, C) → float32 (C, 1, H, W)."""
    import torch

    return torch.from_numpy(np.ascontiguousarray(image, dtype=np.float32)).permute(2, 0, 1)[:, None]


def _array(planes: Tensor) -> np.ndarray:
    """(C, 1, H, W) → (H, W, C)."""
    array: np.ndarray = planes[:, 0].permute(1, 2, 0).numpy()
    return array


def _convolve(image: np.ndarray, kernel: np.ndarray) -> np.ndarray:
    """Convolve with a square kernel of odd side; the border of the image is repeated outward."""
    import torch
    from torch.nn import functional

    pad = kernel.shape[0] // 2
    planes = functional.pad(_planes(image), [pad] * 4, mode="replicate")
    weights = torch.from_numpy((kernel / kernel.sum()).astype(np.float32))
    return _array(functional.conv2d(planes, weights[None, None]))


def _sigma(image: np.ndarray, strength: float) -> float:
    """Standard deviation in pixels, from one in pixels of the reference side."""
    return strength * max(image.shape[:2]) / _REFERENCE_SIDE


def _gaussian_blur(image: np.ndarray, strength: float, _: np.random.Generator) -> np.ndarray:
    # a kernel cut at three standard deviations
    sigma = _sigma(image, strength)
    reach = int(np.ceil(3 * sigma))
    offsets = np.arange(-reach, reach + 1)
    profile = np.exp(-(offsets**2) / (2 * sigma**2))
    return _convolve(image, np.outer(profile, profile))


def _motion_blur(image: np.ndarray, strength: float, rng: np.random.Generator) -> np.ndarray:
    """A trail from each point, half a Gaussian long, at an angle of −45 to 45 degrees."""
    sigma = _sigma(image, strength)
    reach = int(np.ceil(3 * sigma))
    angle = rng.uniform(-np.pi / 4, np.pi / 4)

    # Points along the trail, closer than pixels, each added to the pixel that it lies in
    steps = np.linspace(0, 3 * sigma, 8 * reach + 1)
    weights = np.exp(-(steps**2) / (2 * sigma**2))
    rows = np.rint(reach - steps * np.sin(angle)).astype(int)
    columns = np.rint(reach + steps * np.cos(angle)).astype(int)
    kernel = np.zeros((2 * reach + 1, 2 * reach + 1))
    np.add.at(kernel, (rows, columns), weights)
    return _convolve(image, kernel)


def _gaussian_noise(image: np.ndarray, strength: float, rng: np.random.Generator) -> np.ndarray:
    return image + strength * rng.standard_normal(image.shape, dtype=np.float32)


def _shot_noise(image: np.ndarray, strength: float, rng: np.random.Generator) -> np.ndarray:
    return rng.poisson(image * strength) / strength


def _jpeg(image: np.ndarray, strength: float, _: np.random.Generator) -> np.ndarray:
    return jpeg_compressed(to_bytes(image), int(strength)) / np.float32(255)


def _low_light(image: np.ndarray, strength: float, rng: np.random.Generator) -> np.ndarray:
    """Less light on the sensor, with the photon noise that this brings."""
    # sRGB to linear light and back
    light = np.where(image <= 0.04045, image / 12.92, ((image + 0.055) / 1.055) ** 2.4)
    light = rng.poisson(light * 2.0**-strength * _WHITE_PHOTONS) / _WHITE_PHOTONS
    return np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055)


def _contrast(image: np.ndarray, strength: float, _: np.random.Generator) -> np.ndarray:
    # of each channel
    mean = image.mean(axis=(0, 1))
    return mean + strength * (image - mean)


def _occlusion(image: np.ndarray, strength: float, rng: np.random.Generator) -> np.ndarray:
    """A gray rectangle with the image's aspect, wholly inside it."""
    share = np.sqrt(strength)
    height, width = (max(1, round(share * side)) for side in image.shape[:2])

    # drawn as shares, so that the position hardly moves with the severity
    row, column = rng.random(2)
    top = round(row * (image.shape[0] - height))
    left = round(column * (image.shape[1] - width))

    covered = image.copy()
    covered[top : top + height, left : left + width] = _COVER_GRAY
    return covered


def _low_resolution(image: np.ndarray, strength: float, _: np.random.Generator) -> np.ndarray:
    from torch.nn import functional

    small = _planes(_reduced(image, strength))
    size = list(image.shape[:2])
    return _array(functional.interpolate(small, size, mode="bicubic", align_corners=False))


FILTERS: Mapping[str, Callable[[np.ndarray, float, np.random.Generator], np.ndarray]] = {
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
