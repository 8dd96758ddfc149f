"""The lab's plots are real, show the data, and keep to the theme."""

from __future__ import annotations

import io

import numpy as np
import pytest
from lab_oracles import WordEncoder, described_set, random_faces, words_set
from PIL import Image

from ke2nt.plots import bar_plots
from ke2nt.plots.bars import Bar
from ke2nt.plots.heat_map import HeatPanel, plot_heat_maps
from ke2nt.plots.theme import DARK, LIGHT
from ke2nt.promptlab import compare, geometry, rank, search
from ke2nt.promptlab.plots import (
    plot_comparison,
    plot_geometry,
    plot_ranking,
    plot_search,
)


def open_png(data):
    image = Image.open(io.BytesIO(data))
    assert image.format == "PNG"
    return np.asarray(image.convert("RGB")).astype(int)


def rgb(color):
    return np.array([int(color[i : i + 2], 16) for i in (1, 3, 5)])


def draw(name, shift=0.0, **options):
    bars = [Bar(0.4 + shift, (0.3, 0.5 + shift)), Bar(0.7, (0.6, 0.8))]
    gaps = [Bar(0.1 + shift, (0.02, 0.2)), Bar(-0.1, (-0.2, 0.05))]
    if name == "bars":
        return bar_plots.plot_bars(["a", "b"], {"x": bars, "y": bars}, xlabel="", **options)
    if name == "marginal":
        return bar_plots.plot_marginals(["a", "b"], bars, [None, gaps[0]], whole=0.5, **options)
    if name == "differences":
        return bar_plots.plot_differences(
            ["a", "b"], bars, bars[::-1], gaps, legend=("x", "y"), title="p", **options
        )
    values = np.array([[1.0, 0.2 + shift], [np.nan, 0.5]])
    texts = [[f"{value:.2f}" for value in row] for row in values]
    panel = HeatPanel("t", "ab", "cd", values, texts, 0, 1)
    return plot_heat_maps([panel, panel], **options)


@pytest.mark.parametrize("name", ["bars", "marginal", "differences", "heat"])
def test_plots_show_their_numbers_in_the_colors_of_the_theme(name):
    first, second = open_png(draw(name)), open_png(draw(name, 0.15))
    assert 700 <= first.shape[1] <= 1700
    assert 0.2 < (first == first[0, 0]).all(-1).mean() < 0.97
    assert first.shape != second.shape or np.abs(first - second).max() > 50
    assert draw(name) == draw(name)
    text = draw(name, theme=DARK, format="svg").decode()
    assert DARK.surface in text
    assert LIGHT.ink not in text


def test_only_differences_beyond_chance_are_colored():
    def share(color, bar):
        data = bar_plots.plot_differences(
            ["a"], [Bar(0.5)], [Bar(0.5)], [bar], legend=("x", "y"), title=""
        )
        pale = 0.55 * rgb(color) + 0.45 * 255
        return (np.abs(open_png(data) - pale).max(-1) < 3).mean()

    sure, unsure, worse = Bar(0.2, (0.1, 0.3)), Bar(0.2, (-0.1, 0.3)), Bar(-0.2, (-0.3, -0.1))
    assert share(LIGHT.right, sure) > 0.005 > 0.001 > share(LIGHT.right, unsure)
    assert share(LIGHT.wrong, worse) > 0.005 > 0.001 > share(LIGHT.wrong, sure)


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    images, other = random_faces(60, 1), random_faces(60, 2)
    options = {
        "text_encoder": WordEncoder(),
        "bootstrap": 20,
        "cache_dir": tmp_path_factory.mktemp("cache"),
    }
    sets = [words_set(), described_set()]
    return {
        "rank": plot_ranking(rank(images, sets, **options)),
        "search": plot_search(search(images, other, sets, **options)),
        "compare": plot_comparison(compare(images, *sets, **options)),
        "geometry": plot_geometry(
            geometry(words_set(), WordEncoder(), cache_dir=options["cache_dir"])
        ),
    }


def test_every_result_has_plots(results):
    assert {name: sorted(found) for name, found in results.items()} == {
        "rank": ["rank_recall.png", "rank_sets.png", "rank_templates.png", "rank_words.png"],
        "search": ["search.png", "search_classes.png"],
        "compare": ["compare.png"],
        "geometry": ["geometry.png"],
    }
    for found in results.values():
        for data in found.values():
            pixels = open_png(data)
            assert len(np.unique(pixels @ (65536, 256, 1))) > 20


def test_plots_without_intervals_or_some_classes(encoder):
    images = random_faces(30)
    few = type(images)(**{**vars(images), "labels": images.labels % 2})
    assert plot_ranking(rank(few, [described_set()], text_encoder=encoder, bootstrap=0))
    assert plot_comparison(
        compare(few, words_set(), described_set(), text_encoder=encoder, bootstrap=0)
    )
