"""The plot of averaged models: names that do not cover one another."""

from __future__ import annotations

import numpy as np

from ke2nt.plots.blend_plot import _readable, plot_blend


def test_names_of_close_points_are_left_out_but_for_the_chosen_one():
    x = np.array([0.0, 0.01, 0.02, 0.5, 1.0])
    assert _readable(x, x, chosen=1) == [1, 3, 4]
    assert sorted(_readable(x, 10 * x, chosen=4)) == [0, 3, 4]

    # equal points, as of models that do not differ
    assert _readable(np.zeros(3), np.zeros(3), chosen=2) == [2]


def test_axes_name_metric_and_datasets():
    values = np.array([[0.5, 0.2, 0.3], [0.6, 0.1, 0.2]])
    page = plot_blend(
        ["0", "1"], ["home", "a", "b"], values, 1, metric="UAR", is_curve=True, format="svg"
    ).decode()
    one = plot_blend(["0", "1"], ["home", "a"], values[:, :2], 1, metric="UAR", is_curve=True)
    assert page.count("<!-- chosen -->") == 2
    assert "<!-- away: mean of 2 others, UAR % -->" in page
    assert one.startswith(b"\x89PNG")
