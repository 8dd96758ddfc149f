"""Square face crops, level if wanted; beyond the image border its outermost pixels are repeated."""

from __future__ import annotations

import math
from typing import Protocol

import numpy as np

from ke2nt.data.crop import crop_turned
from ke2nt.data.images import decode
from ke2nt.predict.detections import Box, Detection
from ke2nt.predict.face_settings import FaceSettings

__all__ = ["Resizer", "crop_face", "crop_level", "crop_square", "tilt"]

_LEAST_TILT = 15.0  # degrees; turning a face by less does not help: benchmarks/README.md
_MOST_TILT = 60.0  # degrees, above which the points are rather wrong than the face tilted


class Resizer(Protocol):
    """The preprocessing of a model, as far as crops need it."""

    def resize(self, image: np.ndarray) -> np.ndarray:
        """Resize a uint8 image to the model's square input."""


def crop_face(
    pixels: np.ndarray, box: Box | None, preprocessing: Resizer, settings: FaceSettings
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

    # most faces lie in the image, of which a part is copied faster than single pixels
    height, width = pixels.shape[:2]
    if min(left, top) >= 0 and left + side <= width and top + side <= height:
        return np.ascontiguousarray(pixels[top : top + side, left : left + side])

    # indices clipped to the image repeat its border
    rows = np.arange(top, top + side).clip(0, height - 1)
    columns = np.arange(left, left + side).clip(0, width - 1)
    return pixels[rows[:, None], columns]


def crop_level(pixels: np.ndarray, face: Detection, margin: float) -> np.ndarray:
    """Crop the same square, turned so that the eyes are level; not turned without landmarks.

    Args:
        pixels: uint8 (H, W, 3).
        face: A detection whose first two landmarks, if it has any, are the eyes.
        margin: As for `crop_square`.

    Returns:
        uint8 (S, S, 3), S ≥ 1.
    """
    degrees = tilt(face)
    if not degrees:
        return crop_square(pixels, face.box, margin)
    x0, y0, x1, y1 = face.box
    side = max(1, round(max(x1 - x0, y1 - y0) * (1 + margin)))
    return crop_turned(pixels, ((x0 + x1) / 2, (y0 + y1) / 2), side, degrees)


def tilt(face: Detection) -> float:
    """Return how far a face is turned clockwise in the image, in degrees; 0 if it is not known."""
    if face.landmarks is None or len(face.landmarks) < 2:
        return 0.0
    # detectors differ in which eye comes first
    (left_x, left_y), (right_x, right_y) = sorted(face.landmarks[:2])
    degrees = math.degrees(math.atan2(right_y - left_y, right_x - left_x))
    return degrees if _LEAST_TILT <= abs(degrees) <= _MOST_TILT else 0.0
