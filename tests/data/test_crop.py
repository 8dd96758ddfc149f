from __future__ import annotations

import numpy as np
import pytest

from ke2nt.data.crop import CropBox

PIXELS = np.arange(10 * 20 * 3, dtype=np.uint8).reshape(10, 20, 3)


@pytest.mark.parametrize(
    ("box", "rows", "columns"),
    [
        (CropBox(4, 2, 8, 6), slice(2, 6), slice(4, 8)),
        (CropBox(4, 2, 8, 6, margin=0.25), slice(1, 7), slice(3, 9)),
        (CropBox(4, 3, 8, 5), slice(2, 6), slice(4, 8)),
        (CropBox(0.2, 0.2, 0.4, 0.6, relative=True), slice(2, 6), slice(4, 8)),
    ],
)
def test_square_around_the_box(box, rows, columns):
    np.testing.assert_array_equal(box(PIXELS), PIXELS[rows, columns])


def test_border_is_repeated():
    crop = CropBox(-2, -2, 2, 2)(PIXELS)
    np.testing.assert_array_equal(crop, np.pad(PIXELS[:2, :2], ((2, 0), (2, 0), (0, 0)), "edge"))


def test_changes_are_told_apart_by_their_text():
    assert repr(CropBox(0, 0, 1, 1)) != repr(CropBox(0, 0, 1, 2))
