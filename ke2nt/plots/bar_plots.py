"""Bar plots of the prompt lab: prompts ranked and compared."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes

from ke2nt.plots.bars import (
    BAR_HEIGHT,
    ROW_HEIGHT,
    Bar,
    center_at_zero,
    draw_bars,
    find_percent_limit,
    label_rows,
    lay_out_rows,
    verdict_color,
)
from ke2nt.plots.figure import TEXT, ImageFormat, add_legend, encode_figure, new_figure, style_axes
from ke2nt.plots.theme import LIGHT, Theme

__all__ = ["plot_bars", "plot_differences", "plot_marginals"]


def plot_bars(
    groups: Sequence[str],
    series: dict[str, Sequence[Bar | None]],
    *,
    xlabel: str,
    theme: Theme = LIGHT,
    format: ImageFormat = "png",
) -> bytes:
    """Plot bars with intervals: a group of bars for each name, one for each series.

    Args:
        groups: G names.
        series: Name → G bars, drawn in percent; None leaves a gap.
        xlabel: What the values are.
        theme: Colors.
        format: "png", "svg" or "pdf".
    """
    rows = lay_out_rows(groups, bars_per_row=len(series))
    figure = new_figure(theme, 0.95 + sum(rows.heights), 7.0)
    axes = style_axes(figure.add_subplot(), theme, grid="x")

    # The bars of a group lie side by side around the middle of its row.
    thickness = min(ROW_HEIGHT * 0.8, 0.8 * min(rows.heights) / len(series))
    for n, (name, bars) in enumerate(series.items()):
        offset = (n - (len(series) - 1) / 2) * thickness
        color = theme.series[n % len(theme.series)]
        shown = [(y + offset, bar) for y, bar in zip(rows.middles, bars, strict=True) if bar]
        draw_bars(axes, shown, thickness * 0.86, [color] * len(shown), theme, label=name)

    label_rows(axes, rows)
    limit = find_percent_limit([bar for bars in series.values() for bar in bars])
    axes.set(xlim=(0, limit), xlabel=xlabel)
    if len(series) > 1:
        add_legend(axes, theme)
    return encode_figure(figure, format)


def plot_marginals(
    names: Sequence[str],
    alone: Sequence[Bar],
    marginal: Sequence[Bar | None],
    *,
    whole: float | None = None,
    alone_label: str = "UAR alone, percent",
    theme: Theme = LIGHT,
    format: ImageFormat = "png",
) -> bytes:
    """Plot each row's score alone on the left, and what the ensemble gains by it on the right.

    Args:
        names: R rows.
        alone: R scores.
        marginal: R differences, drawn in percentage points; None if there is none.
        whole: Score of the whole ensemble, drawn as a line, or None.
        alone_label: What the scores are.
        theme: Colors.
        format: "png", "svg" or "pdf".
    """
    rows = lay_out_rows(names)
    figure = new_figure(theme, 1.0 + sum(rows.heights), 8.0)
    left, right = figure.subplots(1, 2, sharey=True, width_ratios=(3, 2))
    style_axes(left, theme, grid="x")
    style_axes(right, theme, grid="x")

    # Left: each row alone, and the whole ensemble as a line.
    scores = list(zip(rows.middles, alone, strict=True))
    draw_bars(left, scores, BAR_HEIGHT, [theme.accent] * len(alone), theme)
    if whole is not None:
        left.axvline(100 * whole, color=theme.wrong, linewidth=1.2, linestyle=(0, (4, 2)))
        title = f"whole ensemble {100 * whole:.1f} %"
        left.set_title(title, size=TEXT, color=theme.wrong, loc="right")

    shown = _draw_differences(right, rows.middles, marginal, theme)
    label_rows(left, rows)
    center_at_zero(right, shown, theme)
    left.set(xlim=(0, find_percent_limit([*alone, Bar(whole or 0)])), xlabel=alone_label)
    right.set_xlabel("what it adds to the ensemble, points")
    return encode_figure(figure, format)


def plot_differences(
    names: Sequence[str],
    first: Sequence[Bar | None],
    second: Sequence[Bar | None],
    difference: Sequence[Bar | None],
    *,
    legend: tuple[str, str],
    title: str,
    theme: Theme = LIGHT,
    format: ImageFormat = "png",
) -> bytes:
    """Plot two joined scores per row on the left, and their difference on the right.

    Args:
        names: R rows.
        first: R scores; None if there is none.
        second: R scores of the other.
        difference: R differences, second − first, with intervals.
        legend: What the first and the second are.
        title: The verdict, above the right panel.
        theme: Colors.
        format: "png", "svg" or "pdf".
    """
    rows = lay_out_rows(names, stretch=1.35)
    figure = new_figure(theme, 1.05 + sum(rows.heights), 8.0)
    left, right = figure.subplots(1, 2, sharey=True, width_ratios=(3, 2))
    style_axes(left, theme, grid="x")
    style_axes(right, theme, grid="x")

    # Left: a bond between the two scores, then the scores themselves, slightly apart.
    for y, one, two in zip(rows.middles, first, second, strict=True):
        if one and two:
            xs = [100 * one.value, 100 * two.value]
            left.plot(xs, [y, y], color=theme.line, linewidth=4, solid_capstyle="round")
    styles = ((-0.045, theme.series[0], "o"), (0.045, theme.series[1], "D"))
    for points, name, (shift, color, marker) in zip((first, second), legend, styles, strict=True):
        _draw_points(left, rows.middles + shift, points, color, marker, name)
    add_legend(left, theme)

    shown = _draw_differences(right, rows.middles, difference, theme)
    right.set_title(title, size=TEXT, color=theme.ink, loc="left")
    label_rows(left, rows)
    center_at_zero(right, shown, theme)
    left.set(xlim=(0, find_percent_limit([*first, *second])), xlabel="percent")
    left.tick_params(axis="y", pad=8)  # a mark at 0 must not cover the name
    right.set_xlabel(f"{legend[1]} − {legend[0]}, points")
    return encode_figure(figure, format)


def _draw_differences(
    axes: Axes, middles: np.ndarray, differences: Sequence[Bar | None], theme: Theme
) -> list[Bar]:
    """Draw signed bars in the colors of their verdicts, and return those that exist."""
    shown = [(y, bar) for y, bar in zip(middles, differences, strict=True) if bar]
    colors = [verdict_color(bar, theme) for _, bar in shown]
    draw_bars(axes, shown, BAR_HEIGHT, colors, theme, signed=True)
    return [bar for _, bar in shown]


def _draw_points(
    axes: Axes,
    positions: np.ndarray,
    points: Sequence[Bar | None],
    color: str,
    marker: str,
    name: str,
) -> None:
    """Draw scores as marks with intervals as lines."""
    shown = [(y, point) for y, point in zip(positions, points, strict=True) if point]
    for y, point in shown:
        if point.interval:
            axes.plot([100 * x for x in point.interval], [y, y], color=color, linewidth=1.1)

    xs, ys = [100 * point.value for _, point in shown], [y for y, _ in shown]
    axes.plot(xs, ys, marker, color=color, markersize=5.5, label=name, clip_on=False, zorder=3)
