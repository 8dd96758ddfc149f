"""Square face crops, with the border of the picture carried on where they reach beyond it."""

from __future__ import annotations

import numpy as np

from ke2nt.data.images import decode
from ke2nt.data.preprocessing import Preprocessing
from ke2nt.predict.detections import Box
from ke2nt.predict.face_settings import FaceSettings

__all__ = ["crop_face", "crop_square"]


def crop_square(pixels: np.ndarray, box: Box, margin: float) -> np.ndarray:
    """The square around a face.

    Args:
        pixels: uint8 (H, W, 3).
        box: (x0, y0, x1, y1) in pixels; its center lies in the picture.
        margin: The side is (1 + margin) times the longer side of the box.

    Returns:
        uint8 (S, S, 3), S ≥ 1; beyond the border the nearest pixels of the picture are repeated.
    """
    x0, y0, x1, y1 = box
    height, width = pixels.shape[:2]
    side = max(1, round(max(x1 - x0, y1 - y0) * (1 + margin)))
    left = round((x0 + x1 - side) / 2)
    top = round((y0 + y1 - side) / 2)
    rows = np.arange(top, top + side).clip(0, height - 1)
    cols = np.arange(left, left + side).clip(0, width - 1)
    return pixels[rows[:, None], cols]


def crop_face(
    pixels: np.ndarray, box: Box | None, preprocessing: Preprocessing, use: FaceSettings
) -> np.ndarray:
    """The crop that a model sees: uint8 (S, S, 3), S its image size; no box means all of it."""
    face = pixels if box is None else crop_square(pixels, box, use.margin)
    if use.face_pixels is not None and max(face.shape[:2]) > use.face_pixels:
        face = decode(face, size=use.face_pixels, interpolation="bicubic")
    return preprocessing.resize(face)
