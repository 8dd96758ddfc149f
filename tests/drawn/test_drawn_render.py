"""Images and region masks: what changes, where, and by how much."""

from __future__ import annotations

import numpy as np
import pytest

from ke2nt.drawn.dataset import DrawnFaces
from ke2nt.drawn.render import REGIONS
from ke2nt.drawn.sheet import contact_sheet
from ke2nt.drawn.style import STYLES
from ke2nt.errors import DataError
from ke2nt.labels import CANONICAL

EXPRESSIVE = [name for name in CANONICAL if name != "neutral"]
SMOOTH = "sketch"  # the paper's grain is the only randomness, and it is the same in a pair


@pytest.fixture(scope="module")
def faces():
    return DrawnFaces(400, seed=4, size=64, occlusion=0.0)


def change(faces, index, name, intensity, style=SMOOTH):
    """Absolute change from neutral, float (S, S), with all else equal."""
    neutral = faces.render_sample(index, expression="neutral", style=style)
    shown = faces.render_sample(index, expression=name, intensity=intensity, style=style)
    return np.abs(shown.image.astype(float) - neutral.image.astype(float)).mean(axis=2)


@pytest.mark.parametrize("size", [16, 48, 112])
@pytest.mark.parametrize("style", list(STYLES))
def test_image_has_the_requested_size(style, size):
    face = DrawnFaces(30, size=size, styles=(style,)).render_sample(7)
    assert face.image.shape == (size, size, 3)
    assert face.image.dtype == np.uint8
    assert face.image.std() > 8


def test_masks_lie_as_in_a_face(faces):
    for index in range(24):
        masks = faces.render_sample(index, masks=True).masks
        assert masks.shape == (len(REGIONS), 64, 64)
        assert masks.dtype == bool
        heights = [np.nonzero(mask)[0].mean() for mask in masks]
        assert heights == sorted(heights), "brows above eyes above nose above mouth"
        assert not (masks[1] & masks[3]).any()
        assert all(0.01 < mask.mean() < 0.2 for mask in masks)


def test_masks_follow_the_expression(faces):
    for index in range(6):
        raised = faces.render_sample(index, expression="surprise", intensity=1.0, masks=True).masks
        neutral = faces.render_sample(index, expression="neutral", masks=True).masks
        assert np.nonzero(raised[0])[0].mean() < np.nonzero(neutral[0])[0].mean() - 0.5
        assert raised[3].sum() > neutral[3].sum() * 1.1


@pytest.mark.parametrize("name", EXPRESSIVE)
def test_change_lies_in_the_regions(faces, name):
    """The regions are a small part of the image and hold most of the change."""
    inside, area = [], []
    for index in range(6):
        delta = change(faces, index, name, 1.0)
        active = faces.render_sample(index, expression=name, intensity=1.0, masks=True).masks
        neutral = faces.render_sample(index, expression="neutral", masks=True).masks
        regions = (active | neutral).any(axis=0)
        inside.append(delta[regions].sum() / delta.sum())
        area.append(regions.mean())

    assert np.mean(area) < 0.35
    assert np.mean(inside) > 0.6


@pytest.mark.parametrize("name", EXPRESSIVE)
def test_change_grows_with_intensity(faces, name):
    levels = (0.0, 0.3, 0.6, 1.0)
    sums = np.array([[change(faces, i, name, v).sum() for v in levels] for i in range(6)])
    assert np.all(sums[:, 0] == 0), "intensity 0 is neutral, pixel by pixel"
    assert np.all(np.diff(sums.mean(axis=0)) > 0)
    assert np.all(sums[:, 3] > sums[:, 1])


def test_contempt_changes_one_half_of_the_mouth():
    faces = DrawnFaces(80, seed=2, size=112, occlusion=0.0)
    ratios = []
    for index in range(8):
        delta = change(faces, index, "contempt", 1.0)
        mask = faces.render_sample(index, expression="neutral", masks=True).masks[3]
        rows, columns = np.nonzero(mask)
        middle = int(columns.mean())
        band = delta[rows.min() - 10 : rows.max() + 6]
        halves = band[:, :middle].sum(), band[:, middle:].sum()
        ratios.append(max(halves) / (min(halves) + 1))
    assert np.median(ratios) > 2


def test_styles_differ_and_keep_the_face(faces):
    images = {style: faces.render_sample(9, style=style).image.astype(float) for style in STYLES}
    names = list(images)

    for i, a in enumerate(names):
        for b in names[i + 1 :]:
            assert np.abs(images[a] - images[b]).mean() > 8, (a, b)

    spread = images["gray48"].max(axis=2) - images["gray48"].min(axis=2)
    assert spread.max() == 0
    assert images["night"].mean() < 0.65 * images["photo"].mean()

    units = {
        style: faces.render_sample(9, style=style).action_units.values.tobytes() for style in STYLES
    }
    assert len(set(units.values())) == 1


def test_occlusion_covers_a_part():
    clear = DrawnFaces(60, seed=1, occlusion=0.0)
    covered = DrawnFaces(60, seed=1, occlusion=1.0)
    for index in range(10):
        a = clear.render_sample(index, style=SMOOTH).image.astype(float)
        b = covered.render_sample(index, style=SMOOTH).image.astype(float)
        share = (np.abs(a - b).mean(axis=2) > 12).mean()
        assert 0.01 < share < 0.6


def test_contact_sheet_lays_out_in_rows():
    images = [np.full((4, 4, 3), level, np.uint8) for level in (10, 20, 30)]
    sheet = contact_sheet(images, 2, gap=1)
    assert sheet.shape == (11, 11, 3)
    assert [sheet[2, 2, 0], sheet[2, 7, 0], sheet[7, 2, 0], sheet[7, 7, 0]] == [10, 20, 30, 255]


@pytest.mark.parametrize(
    ("images", "columns"),
    [([], 3), ([np.zeros((4, 4, 3)), np.zeros((5, 5, 3))], 3), ([np.zeros((4, 4, 3))], 0)],
)
def test_contact_sheet_errors(images, columns):
    with pytest.raises(DataError, match="contact sheet"):
        contact_sheet(images, columns)
