"""Faces cut out of photographs by boxes that annotations give."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

__all__ = ["CropBox"]


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
