"""Square face crops; beyond the image border the outermost pixels are repeated."""

from __future__ import annotations

import numpy as np

from ke2nt.data.images import decode
from ke2nt.data.preprocessing import Preprocessing
from ke2nt.predict.detections import Box
from ke2nt.predict.face_settings import FaceSettings

__all__ = ["crop_face", "crop_square"]


def crop_face(
    pixels: np.ndarray, box: Box | None, preprocessing: Preprocessing, settings: FaceSettings
) -> np.ndarray:
    """Crop a face to the input size of a model.

    Args:
        pixels: uint8 (H, W, 3).
        box: Face in pixels; None to use the whole image.
        preprocessing: Of the model.
        settings: Of the model.

    Returns:
        uint8 (S, S, 3), S the image size of the model.
    """
    face = pixels if box is None else crop_square(pixels, box, settings.margin)

    # no more detail than the training images had
    if settings.face_pixels is not None and max(face.shape[:2]) > settings.face_pixels:
        face = decode(face, size=settings.face_pixels, interpolation="bicubic")
    return preprocessing.resize(face)


def crop_square(pixels: np.ndarray, box: Box, margin: float) -> np.ndarray:
    """Crop the square around a face.

    Args:
        pixels: uint8 (H, W, 3).
        box: (x0, y0, x1, y1) in pixels; its center lies in the image.
        margin: The side is (1 + margin) times the longer side of the box.

    Returns:
        uint8 (S, S, 3), S ≥ 1; beyond the border the nearest pixels of the image are repeated.
    """
    # a square around the center of the box
    x0, y0, x1, y1 = box
    side = max(1, round(max(x1 - x0, y1 - y0) * (1 + margin)))
    left = round((x0 + x1 - side) / 2)
    top = round((y0 + y1 - side) / 2)

    # indices clipped to the image repeat its border
    height, width = pixels.shape[:2]
    rows = np.arange(top, top + side).clip(0, height - 1)
    columns = np.arange(left, left + side).clip(0, width - 1)
    return pixels[rows[:, None], columns]
