"""Many faces in one picture."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from ke2nt.errors import DataError

__all__ = ["contact_sheet"]


def contact_sheet(
    faces: Iterable[np.ndarray], columns: int, *, gap: int = 2, paper: int = 255
) -> np.ndarray:
    """Lay pictures of one size out in rows.

    Args:
        faces: uint8 (S, S, 3) pictures.
        columns: Pictures in a row.
        gap: Pixels between pictures.
        paper: Gray level between and around them.

    Returns:
        uint8 (H, W, 3).

    Raises:
        DataError: There are no pictures, their sizes differ, or `columns` is not positive.
    """
    pictures = list(faces)
    shapes = {picture.shape for picture in pictures}
    if len(shapes) != 1 or columns < 1:
        raise DataError(
            "cannot lay out a contact sheet",
            expected="pictures of one size and at least one column",
            found=f"shapes {sorted(shapes)}, {columns} columns",
        )
    height, width, channels = pictures[0].shape
    rows = -(-len(pictures) // columns)
    columns = min(columns, len(pictures))
    shape = (rows * (height + gap) + gap, columns * (width + gap) + gap, channels)
    sheet = np.full(shape, paper, dtype=np.uint8)
    for i, picture in enumerate(pictures):
        y = gap + i // columns * (height + gap)
        x = gap + i % columns * (width + gap)
        sheet[y : y + height, x : x + width] = picture
    return sheet
