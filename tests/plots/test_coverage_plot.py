"""The plot of risk against coverage."""

from __future__ import annotations

import numpy as np
import pytest

from ke2nt.evaluation.coverage import coverage_risk
from ke2nt.plots.coverage_plot import plot_coverage
from ke2nt.plots.theme import DARK, LIGHT


@pytest.fixture(scope="module")
def curve():
    rng = np.random.default_rng(0)
    probabilities = rng.dirichlet([1, 1, 1], 200)
    return coverage_risk(probabilities, np.array([rng.choice(3, p=row) for row in probabilities]))


def test_both_formats_and_themes(curve):
    assert plot_coverage(curve).startswith(b"\x89PNG")
    light, dark = (plot_coverage(curve, 0.7, theme=t, format="svg") for t in (LIGHT, DARK))
    assert LIGHT.accent.encode() in light
    assert DARK.accent.encode() in dark
    assert light == plot_coverage(curve, 0.7, format="svg")


def test_threshold_is_marked_unless_it_answers_nothing(curve):
    plain = plot_coverage(curve, format="svg")
    assert plot_coverage(curve, 0.7, format="svg") != plain
    assert plot_coverage(curve, 1.0, format="svg") == plain


def test_curve_without_mistakes_is_drawn():
    probabilities = np.eye(2)[[0, 1, 1]]
    curve = coverage_risk(probabilities, np.array([0, 1, 1]))
    assert plot_coverage(curve).startswith(b"\x89PNG")
