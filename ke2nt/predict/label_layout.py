"""Where labels go next to boxes, so that none covers a face or another label."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from ke2nt.predict.detections import Box

__all__ = ["find_free_place", "overlap_area"]


def find_free_place(
    box: Box,
    size: tuple[float, float],
    image_size: tuple[int, int],
    obstacles: Sequence[Box],
    gap: float,
) -> Box | None:
    """Find a place next to a box that is inside the image and covers no obstacle.

    Args:
        box: The face that the label belongs to.
        size: Width and height of the label.
        image_size: Width and height of the image.
        obstacles: All faces, and the labels that have a place.
        gap: Distance between label and box.

    Returns:
        The first free place, above the box if possible; None if there is none.
    """
    for place in _list_places(box, size, image_size, gap):
        x0, y0, x1, y1 = place
        inside = x0 >= 0 and y0 >= 0 and x1 <= image_size[0] and y1 <= image_size[1]
        if inside and not any(overlap_area(place, obstacle) for obstacle in obstacles):
            return place
    return None


def overlap_area(a: Box, b: Box) -> float:
    """Area that two boxes share; 0 if they only touch."""
    width = min(a[2], b[2]) - max(a[0], b[0])
    height = min(a[3], b[3]) - max(a[1], b[1])
    return max(width, 0.0) * max(height, 0.0)


def _list_places(
    box: Box, size: tuple[float, float], image_size: tuple[int, int], gap: float
) -> Iterator[Box]:
    """Places in order of preference: above, below, right and left of the box."""
    x0, y0, x1, y1 = box
    width, height = size

    # aligned left, right and centered; moved into the image if the face is at its border
    columns = [x0, x1 - width, (x0 + x1 - width) / 2]
    rows = [y0, y1 - height, (y0 + y1 - height) / 2]
    columns = [min(max(x, 0.0), max(image_size[0] - width, 0.0)) for x in columns]
    rows = [min(max(y, 0.0), max(image_size[1] - height, 0.0)) for y in rows]

    for y in (y0 - gap - height, y1 + gap):
        for x in columns:
            yield x, y, x + width, y + height
    for x in (x1 + gap, x0 - gap - width):
        for y in rows:
            yield x, y, x + width, y + height
