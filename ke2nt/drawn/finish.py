"""What camera, paper or web archive do to a painted image, one function per style."""

from __future__ import annotations

import io

import numpy as np
from PIL import Image, ImageFilter

__all__ = [
    "finish_archive",
    "finish_camera",
    "finish_night",
    "finish_pencil",
    "finish_print",
]

_LUMA = (0.299, 0.587, 0.114)
_ARCHIVE_SIZE = (48, 48)


def finish_camera(image: Image.Image, rng: np.random.Generator) -> Image.Image:
    """Exposure, white balance, and now and then blur, noise or compression."""
    # blur is drawn as a share: below 0.22 the image is blurred, the more the higher
    blur, gain, tint = rng.random(), rng.uniform(0.72, 1.1), rng.normal(1, 0.035, 3)
    if blur < 0.22:
        image = image.filter(ImageFilter.GaussianBlur(image.width / 64 * (0.3 + 2.5 * blur)))

    noise = rng.normal(0, rng.uniform(1, 6), (image.height, image.width, 1))
    offset = rng.normal(0, 8)
    image = _image(_array(image) * (gain * tint).astype(np.float32) + (noise + offset))

    quality, compress = int(rng.integers(50, 92)), rng.random() < 0.4
    return _jpeg(image, quality) if compress else image


def finish_archive(image: Image.Image, rng: np.random.Generator) -> Image.Image:
    """Gray 48-pixel crops with odd contrast, as collected from the web."""
    size = image.size
    gray = _array(image) @ np.array(_LUMA, dtype=np.float32)
    gray = np.array(Image.fromarray(gray).resize(_ARCHIVE_SIZE, Image.Resampling.BOX))

    # contrast around the mean, brightness, noise
    gray = (gray - gray.mean()) * rng.uniform(0.7, 1.35) + gray.mean() + rng.normal(0, 18)
    gray += rng.normal(0, rng.uniform(2, 8), gray.shape)

    small = _jpeg(_image(gray).convert("RGB"), int(rng.integers(50, 92)))
    return small.convert("L").resize(size, Image.Resampling.BICUBIC).convert("RGB")


def finish_pencil(image: Image.Image, rng: np.random.Generator) -> Image.Image:
    """Graphite grain on warm paper."""
    side = image.width
    grain = rng.normal(0, 1, (side, side)).astype(np.float32)
    slant = grain + np.roll(grain, (1, -1), (0, 1)) + np.roll(grain, (2, -2), (0, 1))

    # darker areas hold more graphite, and so more grain
    tone = _array(image).mean(axis=2)
    tone += slant * (1.5 + 9 * (1 - tone / 255)) * 0.8
    paper = np.array([1.0, 0.99, 0.965], dtype=np.float32) * rng.uniform(0.93, 1.02)
    return _image(tone[..., None] * paper)


def finish_print(image: Image.Image, rng: np.random.Generator) -> Image.Image:
    """Inks of slightly different strength."""
    return _image(_array(image) * rng.normal(1, 0.025, 3).astype(np.float32))


def finish_night(image: Image.Image, rng: np.random.Generator) -> Image.Image:
    """Little light from one side, blue shadows, sensor noise."""
    side = image.width

    # (S, S) light that falls off across the image
    angle = rng.uniform(0, 2 * np.pi)
    ramp = np.linspace(-1, 1, side, dtype=np.float32)
    fall = 0.5 + 0.5 * (np.cos(angle) * ramp[None, :] + 0.5 * np.sin(angle) * ramp[:, None])
    light = rng.uniform(0.42, 0.68) * (0.35 + 0.9 * fall.clip(0, 1))

    tint = np.array([0.86, 0.96, 1.25], dtype=np.float32)
    pixels = (_array(image) / 255) ** 1.15 * 255 * light[..., None] * tint
    noise = rng.normal(0, rng.uniform(4, 9), (side, side, 3))
    return _image(pixels + noise.astype(np.float32) + 8)


def _array(image: Image.Image) -> np.ndarray:
    return np.asarray(image, dtype=np.float32)


def _image(pixels: np.ndarray) -> Image.Image:
    return Image.fromarray((pixels + 0.5).clip(0, 255).astype(np.uint8))


def _jpeg(image: Image.Image, quality: int) -> Image.Image:
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=quality)
    return Image.open(buffer).convert("RGB")
