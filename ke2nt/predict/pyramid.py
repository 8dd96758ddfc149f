"""One detector at several sizes of an image, for both large and small faces."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from ke2nt.errors import ConfigError
from ke2nt.predict.detections import Box, Detection
from ke2nt.predict.pil_images import resize

__all__ = ["detect_at_sides", "merge_detections"]

_MAX_FACE = 400  # pixels; larger faces are found at a smaller size of the image
_MIN_SIDE = 32  # pixels; a narrower image is padded
_DUPLICATE_IOU = 0.3
_DUPLICATE_OVERLAP = 0.7  # of the smaller box


def detect_at_sides(
    image: np.ndarray,
    sides: Sequence[int],
    detect: Callable[[np.ndarray], list[Detection]],
    *,
    enlarge: float = 1.0,
) -> list[Detection]:
    """Find faces at several sizes of an image and merge them.

    Args:
        image: uint8 (H, W, 3) RGB.
        sides: Long sides to resize to, in pixels, ascending. The first is always used, each of the
            others only if it enlarges the image at most by `enlarge`.
        detect: Finds the faces of one resized image.
        enlarge: At least 1.

    Returns:
        Faces in pixels of `image`, best first.

    Raises:
        ConfigError: The sides are not ascending.
    """
    _check_sides(sides)
    height, width = image.shape[:2]
    long_side = max(height, width)

    detections: list[Detection] = []
    for side in _pick_sides(sides, long_side, enlarge):
        size = (max(1, round(width * side / long_side)), max(1, round(height * side / long_side)))
        resized = image if size == (width, height) else resize(image, *size)

        for face in detect(_pad(resized)):
            # beyond the smallest size, detectors see parts of large faces as faces
            if side == sides[0] or _get_long_side(face.box) <= _MAX_FACE:
                detections.append(_scale(face, width / size[0], height / size[1]))

    return merge_detections(detections)


def merge_detections(faces: Sequence[Detection]) -> list[Detection]:
    """Drop faces that duplicate a better one: those that overlap it, or lie inside or around it."""
    kept: list[Detection] = []
    for face in sorted(faces, key=lambda face: -face.score):
        if face.area > 0 and not any(_is_same_face(face, other) for other in kept):
            kept.append(face)
    return kept


def _check_sides(sides: Sequence[int]) -> None:
    if not sides or list(sides) != sorted(set(sides)) or sides[0] < _MIN_SIDE:
        raise ConfigError(
            "the sides of a detector are not valid",
            expected=f"ascending numbers, at least {_MIN_SIDE}",
            found=tuple(sides),
        )


def _pick_sides(sides: Sequence[int], long_side: int, enlarge: float) -> list[int]:
    """Sides for an image; its original size is added if it lies between two of them."""
    picked = [sides[0], *(side for side in sides[1:] if side <= enlarge * long_side)]
    if sides[0] < long_side < sides[-1] and picked[-1] < long_side:
        picked.append(long_side)
    return picked


def _is_same_face(first: Detection, second: Detection) -> bool:
    a, b = first.box, second.box
    width = min(a[2], b[2]) - max(a[0], b[0])
    height = min(a[3], b[3]) - max(a[1], b[1])
    if width <= 0 or height <= 0:
        return False

    intersection = width * height
    union = first.area + second.area - intersection
    smaller = min(first.area, second.area)
    return intersection > _DUPLICATE_IOU * union or intersection > _DUPLICATE_OVERLAP * smaller


def _get_long_side(box: Box) -> float:
    return max(box[2] - box[0], box[3] - box[1])


def _pad(image: np.ndarray) -> np.ndarray:
    """Repeat the border at the bottom and right until both sides have the minimum length."""
    height, width = image.shape[:2]
    padding = ((0, max(0, _MIN_SIDE - height)), (0, max(0, _MIN_SIDE - width)), (0, 0))
    return np.ascontiguousarray(np.pad(image, padding, mode="edge"))


def _scale(face: Detection, x_scale: float, y_scale: float) -> Detection:
    x0, y0, x1, y1 = face.box
    landmarks = None
    if face.landmarks is not None:
        landmarks = tuple((x * x_scale, y * y_scale) for x, y in face.landmarks)

    return Detection(
        box=(x0 * x_scale, y0 * y_scale, x1 * x_scale, y1 * y_scale),
        score=face.score,
        landmarks=landmarks,
    )
