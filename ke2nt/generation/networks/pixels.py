"""Conversions between 8-bit RGB and the range [−1, 1] of the generator."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from ke2nt.data.preprocessing import Preprocessing

__all__ = ["from_pixels", "resize", "to_model_input", "to_pixels", "to_uint8"]

_LUMA = (0.299, 0.587, 0.114)  # Rec. 601, as in Preprocessing


def from_pixels(pixels: Tensor, channels: int) -> Tensor:
    """Convert pixels to a generator's images.

    Args:
        pixels: (B, 3, S, S), uint8 or float, in 0..255.
        channels: 1 (luma) or 3.

    Returns:
        float32 (B, channels, S, S) in [−1, 1].
    """
    # luma of values in [−1, 1] equals that of pixels, as its weights sum to 1
    images = pixels.float() / 127.5 - 1.0
    if channels == 1:
        luma = images.new_tensor(_LUMA).view(1, 3, 1, 1)
        images = (images * luma).sum(dim=1, keepdim=True)
    return images


def to_pixels(images: Tensor) -> Tensor:
    """Convert images in [−1, 1], gray or RGB, to RGB (B, 3, S, S) in 0..255; differentiable."""
    return ((images + 1.0) * 127.5).expand(-1, 3, -1, -1)


def to_uint8(images: Tensor) -> Tensor:
    """Convert images in [−1, 1] to uint8 RGB (B, S, S, 3) on the CPU."""
    pixels = to_pixels(images.detach()).round().clamp(0, 255)
    return pixels.to("cpu", torch.uint8).permute(0, 2, 3, 1).contiguous()


def to_model_input(images: Tensor, preprocessing: Preprocessing) -> Tensor:
    """Convert images in [−1, 1] to a recognizer's input (B, 3, S, S); differentiable."""
    pixels = to_pixels(resize(images, preprocessing.image_size))

    # a gray recognizer normalizes one channel, which its backbone reads three times
    return preprocessing.normalize(pixels).expand(-1, 3, -1, -1)


def resize(images: Tensor, size: int) -> Tensor:
    """Resize square images; differentiable. Images of this size are returned unchanged."""
    if images.shape[-1] == size:
        return images
    return functional.interpolate(
        images, size=(size, size), mode="bilinear", antialias=True, align_corners=False
    )
