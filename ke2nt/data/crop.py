"""Faces cut out of photographs, upright or turned."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

__all__ = ["CropBox", "crop_turned"]


@dataclass(frozen=True, slots=True)
class CropBox:
    """Cuts a square around a box out of an image; beyond the border, the border is repeated.

    Attributes:
        left, top, right, bottom: The box, in pixels or, if `relative`, as shares of the sides.
        margin: What is added on each side, as a share of the longer side of the box.
        relative: Whether the box is given as shares.
    """

    left: float
    top: float
    right: float
    bottom: float
    margin: float = 0.0
    relative: bool = False

    def __call__(self, pixels: np.ndarray) -> np.ndarray:
        """uint8 (H, W, 3) → (S, S, 3)."""
        height, width = pixels.shape[:2]
        scale_x, scale_y = (width, height) if self.relative else (1, 1)
        left, right = self.left * scale_x, self.right * scale_x
        top, bottom = self.top * scale_y, self.bottom * scale_y

        # a square of whole pixels around the center
        side = max(1, round(max(right - left, bottom - top) * (1 + 2 * self.margin)))
        x = round((left + right - side) / 2)
        y = round((top + bottom - side) / 2)
        columns = np.clip(np.arange(x, x + side), 0, width - 1)
        rows = np.clip(np.arange(y, y + side), 0, height - 1)
        crop: np.ndarray = pixels[rows][:, columns]
        return crop


def crop_turned(
    pixels: np.ndarray, center: tuple[float, float], side: int, degrees: float
) -> np.ndarray:
    """Cut a turned square out of an image, bilinear; beyond the border, the border is repeated.

    Args:
        pixels: uint8 (H, W, 3).
        center: (x, y) of the square's center in pixels, a pixel's own center being at + 0.5.
        side: Side of the square in pixels.
        degrees: How far the square is turned clockwise in the image; a face that is tilted as far
            is upright in the result.

    Returns:
        uint8 (side, side, 3).
    """
    # offsets of the result's pixels from its center, turned into the image
    offsets = np.arange(side, dtype=np.float32) - (side - 1) / 2
    angle = np.deg2rad(degrees)
    right, down = np.cos(angle), np.sin(angle)
    x = center[0] - 0.5 + offsets[None, :] * right - offsets[:, None] * down
    y = center[1] - 0.5 + offsets[None, :] * down + offsets[:, None] * right

    # the four pixels around each point
    height, width = pixels.shape[:2]
    x, y = x.clip(0, width - 1), y.clip(0, height - 1)
    left, top = x.astype(np.int64), y.astype(np.int64)
    next_left, next_top = (left + 1).clip(max=width - 1), (top + 1).clip(max=height - 1)
    share_x, share_y = (x - left)[..., None], (y - top)[..., None]
    upper = pixels[top, left] * (1 - share_x) + pixels[top, next_left] * share_x
    lower = pixels[next_top, left] * (1 - share_x) + pixels[next_top, next_left] * share_x
    turned = upper * (1 - share_y) + lower * share_y
    return np.rint(turned).astype(np.uint8)
