"""One detector at several sizes of a picture, for faces both large and small."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from ke2nt.errors import ConfigError
from ke2nt.predict.annotate import resize
from ke2nt.predict.detections import Box, Detection

__all__ = ["detect_at_sides", "merge_detections"]

_LARGEST_FACE = 400  # pixels; larger ones are left to a smaller size of the picture
_SHORTEST = 32  # pixels; a narrower picture is padded to it
_SAME_IOU = 0.3
_SAME_INSIDE = 0.7


def detect_at_sides(
    image: np.ndarray,
    sides: Sequence[int],
    detect: Callable[[np.ndarray], list[Detection]],
) -> list[Detection]:
    """Faces of a picture, found at several sizes and merged.

    Args:
        image: uint8 (H, W, 3) RGB.
        sides: Long sides to resize to, in pixels, ascending. The first is used for any picture, the
            next ones as far as they make it no larger than it is.
        detect: Finds the faces of one resized picture.

    Returns:
        Faces in pixels of `image`, best first.

    Raises:
        ConfigError: The sides are not ascending.
    """
    if not sides or list(sides) != sorted(set(sides)) or sides[0] < _SHORTEST:
        raise ConfigError(
            "the sides of a detector are not valid",
            expected=f"ascending numbers from {_SHORTEST}",
            found=tuple(sides),
        )
    height, width = image.shape[:2]
    long = max(height, width)
    chosen = [sides[0], *(side for side in sides[1:] if side <= long)]
    if sides[0] < long < sides[-1] and chosen[-1] < long:
        chosen.append(long)
    found: list[Detection] = []
    for side in chosen:
        size = (max(1, round(width * side / long)), max(1, round(height * side / long)))
        picture = image if size == (width, height) else resize(image, *size)
        for face in detect(_padded(picture)):
            if side == chosen[0] or _long_side(face.box) <= _LARGEST_FACE:
                found.append(_scaled(face, width / size[0], height / size[1]))
    return merge_detections(found)


def merge_detections(faces: Sequence[Detection]) -> list[Detection]:
    """Faces without those that a better one overlaps or that lie inside or around it."""
    kept: list[Detection] = []
    for face in sorted(faces, key=lambda face: -face.score):
        if face.area > 0 and not any(_same(face, other) for other in kept):
            kept.append(face)
    return kept


def _same(first: Detection, second: Detection) -> bool:
    a, b = first.box, second.box
    width = min(a[2], b[2]) - max(a[0], b[0])
    height = min(a[3], b[3]) - max(a[1], b[1])
    if width <= 0 or height <= 0:
        return False
    shared = width * height
    union = first.area + second.area - shared
    return shared > _SAME_IOU * union or shared > _SAME_INSIDE * min(first.area, second.area)


def _long_side(box: Box) -> float:
    return max(box[2] - box[0], box[3] - box[1])


def _padded(picture: np.ndarray) -> np.ndarray:
    height, width = picture.shape[:2]
    more = ((0, max(0, _SHORTEST - height)), (0, max(0, _SHORTEST - width)), (0, 0))
    return np.ascontiguousarray(np.pad(picture, more, mode="edge"))


def _scaled(face: Detection, x: float, y: float) -> Detection:
    x0, y0, x1, y1 = face.box
    points = face.landmarks
    return Detection(
        box=(x0 * x, y0 * y, x1 * x, y1 * y),
        score=face.score,
        landmarks=None if points is None else tuple((px * x, py * y) for px, py in points),
    )
