"""Pixels of every style stay the same from version to version: published results depend on them."""

from __future__ import annotations

import hashlib

import numpy as np
import PIL
import pytest

from ke2nt.drawn.dataset import DrawnFaces
from ke2nt.drawn.style import STYLES

# From version 0.1
DIGESTS = {
    "photo": "c9cffe4f49388966",
    "gray48": "8c89cb53ed9022df",
    "sketch": "b68b9a0cb066fde3",
    "cartoon": "944cf00a2d3e2ce3",
    "night": "a27536bbe79a5a4b",
}
VERSIONS = {"PIL": "12", "numpy": "2"}


def test_every_style_has_a_digest():
    assert set(DIGESTS) == set(STYLES)


@pytest.mark.skipif(
    {module.__name__: module.__version__.split(".")[0] for module in (PIL, np)} != VERSIONS,
    reason="other versions of Pillow or NumPy may round otherwise",
)
@pytest.mark.parametrize("style", list(STYLES))
def test_pixels_and_masks(style):
    digest = hashlib.sha256()
    for size in (16, 64, 112):
        faces = DrawnFaces(2000, seed=3, size=size, styles=(style,), occlusion=0.3)
        for index in range(0, 2000, 97):
            face = faces.render_sample(index, masks=True)
            digest.update(face.image.tobytes())
            digest.update(face.masks.tobytes())
    assert digest.hexdigest()[:16] == DIGESTS[style]
