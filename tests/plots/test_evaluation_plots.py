"""Pictures are real, not blank, of the right size, and show the data."""

import io
import re
import subprocess
import sys

import matplotlib
import numpy as np
import pytest
from PIL import Image

from ke2nt.evaluation.metrics import classification_report
from ke2nt.pages.faces import FacePrediction
from ke2nt.plots import evaluation_plots, figure
from ke2nt.plots.theme import DARK, LIGHT, contrast

CLASSES = ("neutral", "happiness", "surprise", "fear")


def make_report(seed=0, n=120, classes=CLASSES):
    rng = np.random.default_rng(seed)
    p = rng.dirichlet(np.ones(len(classes)), n)
    return classification_report(p, rng.integers(0, len(classes) - 1, n), classes, bootstrap=50)


def make_faces(count=5, seed=0):
    pixels = np.random.default_rng(seed).integers(0, 256, (count, 12, 12, 3), "u1")
    return [
        FacePrediction(p, "fear", "fear" if i % 2 else "neutral", 0.7, f"n{i}")
        for i, p in enumerate(pixels)
    ]


CURVES = ({"total": [(1, 3.0), (2, 2.0)]}, {"accuracy": [(1, 0.3), (2, 0.6)]})
VECTORS = np.random.default_rng(3).normal(size=(4, 16))
DRAWN = {
    "confusion": lambda seed, **k: evaluation_plots.plot_confusion(make_report(seed), **k),
    "recall": lambda seed, **k: evaluation_plots.plot_recall(make_report(seed), **k),
    "reliability": lambda seed, **k: evaluation_plots.plot_reliability(make_report(seed), **k),
    "curves": lambda seed, **k: evaluation_plots.plot_training_curves(
        {"total": [(1, 3.0 + seed), (2, 2.0)]}, CURVES[1], **k
    ),
    "similarity": lambda seed, **k: evaluation_plots.plot_similarity(
        CLASSES, VECTORS + seed * np.eye(4, 16), **k
    ),
}


def open_png(data):
    image = Image.open(io.BytesIO(data))
    assert image.format == "PNG"
    return np.asarray(image.convert("RGB")).astype(int)


@pytest.mark.parametrize("name", DRAWN)
def test_png_shows_the_data(name):
    first = open_png(DRAWN[name](0))
    height, width = first.shape[:2]
    assert 600 <= width <= 1000
    assert 350 <= height <= 1200
    assert len(np.unique(first.reshape(-1, 3), axis=0)) > 20
    share = (first == first[0, 0]).all(-1).mean()
    assert 0.2 < share < 0.97
    second = open_png(DRAWN[name](1))
    assert second.shape != first.shape or np.abs(second - first).max() > 50


@pytest.mark.parametrize("name", DRAWN)
def test_colors_are_the_theme(name):
    text = DRAWN[name](0, theme=DARK, format="svg").decode()
    assert DARK.surface in text
    assert LIGHT.ink not in text


def test_svg_is_the_same_each_time_and_needs_nothing_from_outside():
    first, second = (evaluation_plots.plot_confusion(make_report(), format="svg") for _ in range(2))
    assert first == second
    text = first.decode()
    assert text.startswith("<?xml")
    assert "<script" not in text
    assert not re.search(r'(?:href|src)="(?!#)', text)


def test_pdf_is_the_same_each_time_and_has_its_fonts():
    first, second = (evaluation_plots.plot_confusion(make_report(), format="pdf") for _ in range(2))
    assert first == second
    assert first.startswith(b"%PDF")
    assert b"/FontFile2" in first  # TrueType; type 3 fonts are refused by publishers
    assert b"/Type3" not in first
    assert b"CreationDate" not in first


def test_confusion_is_darkest_where_most_images_are():
    p = np.eye(2)[[0] * 9 + [1] * 10 + [0]]
    report = classification_report(p, np.array([0] * 10 + [1] * 10), ("a", "b"), bootstrap=0)
    pixels = open_png(evaluation_plots.plot_confusion(report))
    expected = np.array([int(LIGHT.accent[i : i + 2], 16) for i in (1, 3, 5)])
    share = 0.9 * expected + 0.1 * 255  # 9 of 10 on the diagonal
    near = np.abs(pixels - share).max(-1) < 4
    ys, xs = np.nonzero(near)
    assert near.mean() > 0.1
    top_left = near[: int(np.median(ys)), : int(np.median(xs))].mean()
    top_right = near[: int(np.median(ys)), int(np.median(xs)) + 40 :].mean()
    assert top_left > 3 * top_right


def test_png_is_lossless():
    pixels = make_faces(1)[0].pixels
    assert np.array_equal(open_png(figure.encode_png(pixels)), pixels)


def test_classes_without_images_and_many_classes_are_drawn():
    many = tuple(f"class {k}" for k in range(12))
    report = make_report(classes=many)
    assert report.per_class[-1].recall is None
    for draw in (
        evaluation_plots.plot_confusion,
        evaluation_plots.plot_recall,
        evaluation_plots.plot_reliability,
    ):
        assert open_png(draw(report)).size


def test_one_panel_only():
    both = open_png(evaluation_plots.plot_training_curves(*CURVES))
    one = open_png(evaluation_plots.plot_training_curves(CURVES[0], {}))
    assert one.shape[0] < both.shape[0]


def test_no_global_state_of_matplotlib():
    before = dict(matplotlib.rcParams)
    evaluation_plots.plot_recall(make_report(), format="svg")
    assert dict(matplotlib.rcParams) == before


def test_colors_have_enough_contrast():
    assert contrast((0, 0, 0), (1, 1, 1)) == pytest.approx(21)
    assert contrast((1, 0, 0), (1, 0, 0)) == 1
    assert LIGHT.readable_on((1, 1, 1)) == LIGHT.ink
    assert LIGHT.readable_on((0, 0, 0.3)) == LIGHT.surface

    def rgb(name):
        return [int(name[i : i + 2], 16) / 255 for i in (1, 3, 5)]

    for theme in (LIGHT, DARK):
        for name in (theme.ink, theme.muted, theme.right, theme.wrong):
            for behind in (theme.surface, theme.page):
                assert contrast(rgb(name), rgb(behind)) > 4.5
        for name in (theme.accent, *theme.series):
            assert contrast(rgb(name), rgb(theme.surface)) > 3


def test_the_stateful_interface_of_matplotlib_is_not_used():
    """In a process of its own: other packages may have imported it in this one."""
    code = (
        "import sys; from ke2nt.plots import evaluation_plots, heat_map, bar_plots, timeline; "
        "evaluation_plots.plot_training_curves({'loss': [(1, 2.0), (2, 1.0)]}, {}); "
        "sys.exit('matplotlib.pyplot' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], timeout=120).returncode == 0
