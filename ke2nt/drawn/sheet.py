"""Many faces in one image."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from ke2nt.errors import DataError

__all__ = ["contact_sheet"]


def contact_sheet(
    faces: Iterable[np.ndarray], columns: int, *, gap: int = 2, paper: int = 255
) -> np.ndarray:
    """Lay out images of one size in rows.

    Args:
        faces: uint8 (S, S, 3) images.
        columns: Images per row.
        gap: Pixels between images.
        paper: Gray level between and around them.

    Returns:
        uint8 (H, W, 3).

    Raises:
        DataError: There are no images, their sizes differ, or `columns` is not positive.
    """
    images = list(faces)
    shapes = {image.shape for image in images}
    if len(shapes) != 1 or columns < 1:
        raise DataError(
            "cannot lay out a contact sheet",
            expected="images of one size and at least one column",
            found=f"shapes {sorted(shapes)}, {columns} columns",
        )

    # A gap on every side of every image
    height, width, channels = images[0].shape
    rows = -(-len(images) // columns)
    columns = min(columns, len(images))
    shape = (rows * (height + gap) + gap, columns * (width + gap) + gap, channels)
    sheet = np.full(shape, paper, dtype=np.uint8)

    for i, image in enumerate(images):
        y = gap + i // columns * (height + gap)
        x = gap + i % columns * (width + gap)
        sheet[y : y + height, x : x + width] = image
    return sheet
