"""The plot of averaged models: a metric over α, and home against away."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.patheffects import withStroke

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

_NAME_WIDTH, _NAME_HEIGHT = 0.06, 0.07  # of a name of a point, as shares of the axes


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
        away = datasets[1] if len(datasets) == 2 else f"mean of {len(datasets) - 1} others"
        below.set(xlabel=f"home: {datasets[0]}, {metric} %", ylabel=f"away: {away}, {metric} %")
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
    dashes = (0, (4, 2))
    axes.axvline(x[chosen], color=theme.muted, linewidth=1.2, linestyle=dashes, label="chosen")
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
    axes.plot(home[chosen], away[chosen], "o", color=theme.wrong, markersize=7, label="chosen")

    # room for the names of outer points
    axes.margins(0.08, 0.12)
    for k in _readable(home, away, chosen):
        name = axes.annotate(
            f"alpha {labels[k]}" if is_curve and k == 0 else labels[k],
            (home[k], away[k]),
            xytext=(0, 7),
            textcoords="offset points",
            ha="center",
            fontsize=SMALL,
            color=theme.ink,
        )

        # readable where the line passes behind it
        name.set_path_effects([withStroke(linewidth=3, foreground=theme.surface)])
    add_legend(axes, theme)


def _readable(x: np.ndarray, y: np.ndarray, chosen: int) -> list[int]:
    """Points whose names do not cover one another: the chosen one, and those that leave room."""
    spread = [max(float(np.ptp(values)), 1e-9) for values in (x, y)]
    kept: list[int] = []
    for k in (chosen, *range(len(x))):
        near = any(
            abs(x[k] - x[other]) < _NAME_WIDTH * spread[0]
            and abs(y[k] - y[other]) < _NAME_HEIGHT * spread[1]
            for other in kept
        )
        if not near:
            kept.append(k)
    return kept
