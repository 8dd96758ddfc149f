"""From an image of any shape to a square."""

from __future__ import annotations

from typing import Any

__all__ = ["RESIZE_MODES", "make_square"]

RESIZE_MODES = ("squash", "shortest", "longest")
"""Aspect ignored; the shortest side to size, then a center crop; the longest side to size, then
padded with black."""


def make_square(image: Any, size: int, resample: int, mode: str) -> Any:
    """Resize an image to a square, rounding as torchvision does.

    Args:
        image: An image of Pillow, upright unless `mode` is "squash".
        size: Side in pixels.
        resample: Pillow's filter, which is antialiased.
        mode: One of `RESIZE_MODES`.
    """
    width, height = image.size
    if mode == "squash" or width == height:
        return image if image.size == (size, size) else image.resize((size, size), resample)

    if mode == "shortest":
        short = min(width, height)
        width, height = int(size * width / short), int(size * height / short)
    else:
        long = max(width, height)
        width, height = max(1, round(width * size / long)), max(1, round(height * size / long))
    image = image.resize((width, height), resample)

    # what lies outside of the image is black
    left, top = round((width - size) / 2), round((height - size) / 2)
    return image.crop((left, top, left + size, top + size))
