"""The plot of averaged models: a metric over α, and home against away."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes

from ke2nt.plots.figure import (
    SMALL,
    ImageFormat,
    add_legend,
    encode_figure,
    new_figure,
    style_axes,
)
from ke2nt.plots.theme import LIGHT, Theme

__all__ = ["plot_blend"]


def plot_blend(
    labels: Sequence[str],
    datasets: Sequence[str],
    values: np.ndarray,
    chosen: int,
    *,
    metric: str,
    is_curve: bool,
    theme: Theme = LIGHT,
    format: ImageFormat = "png",
) -> bytes:
    """Plot the averages of a blend.

    Args:
        labels: Names of the P averages; values of α for a curve.
        datasets: Names of the T datasets; the first one is home.
        values: (P, T) shares in [0, 1].
        chosen: Index of the chosen average.
        metric: Name of the metric.
        is_curve: Whether the averages lie on one line.
        theme: Colors.
        format: "png", "svg" or "pdf".
    """
    has_away = len(datasets) > 1
    figure = new_figure(theme, 5.6 if has_away else 2.9)
    rows = 2 if has_away else 1
    percent = 100 * np.asarray(values)

    axes = style_axes(figure.add_subplot(rows, 1, 1), theme, grid="both")
    _draw_datasets(axes, labels, datasets, percent, chosen, is_curve, theme)
    axes.set_ylabel(f"{metric} %")
    if has_away:
        below = style_axes(figure.add_subplot(rows, 1, 2), theme, grid="both")
        _draw_home_away(below, labels, percent, chosen, is_curve, theme)
        below.set(xlabel=f"home: {datasets[0]}, {metric} %")
        below.set_ylabel("away: mean of the others %")
    return encode_figure(figure, format)


def _draw_datasets(
    axes: Axes,
    labels: Sequence[str],
    datasets: Sequence[str],
    percent: np.ndarray,
    chosen: int,
    is_curve: bool,
    theme: Theme,
) -> None:
    """A line for each dataset over α, or points over the models."""
    x = [float(label) for label in labels] if is_curve else list(range(len(labels)))
    for t, name in enumerate(datasets):
        color = theme.series[t % len(theme.series)]
        style = "o-" if is_curve else "o"
        axes.plot(x, percent[:, t], style, color=color, linewidth=1.8, markersize=4, label=name)
    axes.axvline(x[chosen], color=theme.muted, linewidth=1.2, linestyle=(0, (4, 2)))
    if is_curve:
        axes.set_xlabel("alpha: share of the second model")
    else:
        axes.set_xticks(x, labels, rotation=20, ha="right")
    add_legend(axes, theme)


def _draw_home_away(
    axes: Axes,
    labels: Sequence[str],
    percent: np.ndarray,
    chosen: int,
    is_curve: bool,
    theme: Theme,
) -> None:
    """Each average as a point, the chosen one filled in another color."""
    home, away = percent[:, 0], percent[:, 1:].mean(axis=1)
    axes.plot(home, away, "o-" if is_curve else "o", color=theme.accent, markersize=4)
    axes.plot(home[chosen], away[chosen], "o", color=theme.wrong, markersize=7)
    for label, x, y in zip(labels, home, away, strict=True):
        axes.annotate(
            label,
            (x, y),
            xytext=(4, 4),
            textcoords="offset points",
            fontsize=SMALL,
            color=theme.ink,
        )
