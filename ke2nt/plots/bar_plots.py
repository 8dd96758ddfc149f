"""Bars of the prompt lab: words ranked and compared."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes

from ke2nt.plots.figure import ImageFormat, add_legend, encode_figure, new_figure, style_axes
from ke2nt.plots.heat_map import wrapped
from ke2nt.plots.theme import LIGHT, Theme

__all__ = [
    "Bar",
    "plot_bars",
    "plot_differences",
    "plot_marginals",
]

_SMALL, _TEXT = 7.0, 8.5
_ROW = 0.3  # inches


@dataclass(frozen=True, slots=True)
class Bar:
    """A value with its interval.

    Attributes:
        value: A share in [0, 1], or a difference of shares in [−1, 1].
        interval: Its 95 % interval, or None.
    """

    value: float
    interval: tuple[float, float] | None = None


def plot_bars(
    groups: Sequence[str],
    series: dict[str, Sequence[Bar | None]],
    *,
    xlabel: str,
    theme: Theme = LIGHT,
    format: ImageFormat = "png",
) -> bytes:
    """Bars with intervals: a group of rows for each name, in it one bar for each series.

    Args:
        groups: G names.
        series: Name → G bars, in percent once drawn; None leaves a gap.
        xlabel: What the values are.
        theme: Colors.
        format: "png" or "svg".
    """
    labels = [wrapped(name) for name in groups]
    step = _heights(labels, per_row=len(series))
    figure = new_figure(theme, 0.95 + sum(step), 7.0)
    axes = style_axes(figure.add_subplot(), theme, grid="x")
    middles = np.cumsum([0.0, *step[:-1]]) + np.array(step) / 2
    thick = min(_ROW * 0.8, 0.8 * min(step) / len(series))
    for n, (name, bars) in enumerate(series.items()):
        offset = (n - (len(series) - 1) / 2) * thick
        color = theme.series[n % len(theme.series)]
        shown = [(y + offset, bar) for y, bar in zip(middles, bars, strict=True) if bar]
        _draw_bars(axes, shown, thick * 0.86, [color] * len(shown), theme, label=name)
    _rows(axes, labels, middles, step)
    axes.set(xlim=(0, _reach([b for bars in series.values() for b in bars])), xlabel=xlabel)
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
    """Each row's score alone on the left; on the right what the ensemble gains by it.

    Args:
        names: R rows.
        alone: R scores.
        marginal: R differences, drawn in percentage points; None where there is none.
        whole: Score of the whole ensemble, drawn as a line, or None.
        alone_label: What the scores are.
        theme: Colors.
        format: "png" or "svg".
    """
    labels = [wrapped(name) for name in names]
    step = _heights(labels)
    figure = new_figure(theme, 1.0 + sum(step), 8.0)
    left, right = figure.subplots(1, 2, sharey=True, width_ratios=(3, 2))
    middles = np.cumsum([0.0, *step[:-1]]) + np.array(step) / 2
    style_axes(left, theme, grid="x")
    style_axes(right, theme, grid="x")
    _draw_bars(
        left,
        list(zip(middles, alone, strict=True)),
        0.62 * _ROW,
        [theme.accent] * len(alone),
        theme,
    )
    if whole is not None:
        left.axvline(100 * whole, color=theme.wrong, linewidth=1.2, linestyle=(0, (4, 2)))
        left.set_title(
            f"whole ensemble {100 * whole:.1f} %", size=_TEXT, color=theme.wrong, loc="right"
        )
    shown = [(y, bar) for y, bar in zip(middles, marginal, strict=True) if bar]
    colors = [_verdict(bar, theme) for _, bar in shown]
    _draw_bars(right, shown, 0.62 * _ROW, colors, theme, signed=True)
    _rows(left, labels, middles, step)
    _center(right, [bar for _, bar in shown], theme)
    left.set(xlim=(0, _reach([*alone, Bar(whole or 0)])), xlabel=alone_label)
    right.set_xlabel("gain of the ensemble by it, points")
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
    """Two scores a row, joined, on the left; their difference with its interval on the right.

    Args:
        names: R rows.
        first: R scores; None where there is none.
        second: R scores of the other.
        difference: R differences, second − first.
        legend: What the first and the second are.
        title: The verdict, above the right panel.
        theme: Colors.
        format: "png" or "svg".
    """
    labels = [wrapped(name) for name in names]
    step = [1.35 * height for height in _heights(labels)]
    figure = new_figure(theme, 1.05 + sum(step), 8.0)
    left, right = figure.subplots(1, 2, sharey=True, width_ratios=(3, 2))
    middles = np.cumsum([0.0, *step[:-1]]) + np.array(step) / 2
    style_axes(left, theme, grid="x")
    style_axes(right, theme, grid="x")
    for y, one, two in zip(middles, first, second, strict=True):
        if one and two:
            xs = [100 * one.value, 100 * two.value]
            left.plot(xs, [y, y], color=theme.line, linewidth=4, solid_capstyle="round")
    for points, shift, color, marker, name in (
        (first, -0.045, theme.series[0], "o", legend[0]),
        (second, 0.045, theme.series[1], "D", legend[1]),
    ):
        shown = [(y + shift, p) for y, p in zip(middles, points, strict=True) if p]
        for y, point in shown:
            if point.interval:
                left.plot([100 * x for x in point.interval], [y, y], color=color, linewidth=1.1)
        xs, ys = [100 * p.value for _, p in shown], [y for y, _ in shown]
        left.plot(xs, ys, marker, color=color, markersize=5.5, label=name, clip_on=False, zorder=3)
    add_legend(left, theme)
    shown = [(y, bar) for y, bar in zip(middles, difference, strict=True) if bar]
    colors = [_verdict(bar, theme) for _, bar in shown]
    _draw_bars(right, shown, 0.62 * _ROW, colors, theme, signed=True)
    right.set_title(title, size=_TEXT, color=theme.ink, loc="left")
    _rows(left, labels, middles, step)
    _center(right, [bar for _, bar in shown], theme)
    left.set(xlim=(0, _reach([*first, *second])), xlabel="percent")
    left.tick_params(axis="y", pad=8)  # a mark at 0 must not cover the name
    right.set_xlabel(f"{legend[1]} − {legend[0]}, points")
    return encode_figure(figure, format)


def _draw_bars(
    axes: Axes,
    bars: Sequence[tuple[float, Bar]],
    thick: float,
    colors: Sequence[str],
    theme: Theme,
    *,
    label: str | None = None,
    signed: bool = False,
) -> None:
    values = [100 * bar.value for _, bar in bars]
    places = [y for y, _ in bars]
    axes.barh(places, values, height=thick, color=list(colors), alpha=0.55, label=label)
    for (y, bar), value in zip(bars, values, strict=True):
        end = value
        if bar.interval:
            low, high = (100 * x for x in bar.interval)
            axes.plot([low, high], [y, y], color=theme.ink, linewidth=1.2)
            axes.plot([low, high], [y, y], "|", color=theme.ink, markersize=4)
            end = high if value >= 0 or not signed else low
        left = signed and value < 0
        axes.annotate(
            _points(value) if signed else f"{value:.1f}",
            (end, y),
            xytext=(-4 if left else 4, 0),
            textcoords="offset points",
            ha="right" if left else "left",
            va="center",
            size=_SMALL,
            color=theme.ink,
            bbox={"facecolor": theme.surface, "edgecolor": "none", "pad": 0.8},
        )


def _points(value: float) -> str:
    text = f"{value:+.1f}".replace("-", "−")
    return "0" if text in ("+0.0", "−0.0") else text


def _reach(bars: Sequence[Bar | None]) -> float:
    """Where a percent axis ends: just beyond the longest bar and its number."""
    ends = [100 * max((bar.value, *(bar.interval or ()))) for bar in bars if bar]
    return float(min(100, 10 * np.ceil((1.08 * max(ends) + 2) / 10)))


def _verdict(bar: Bar, theme: Theme) -> str:
    """Green or vermilion where the interval leaves out 0, else gray."""
    if bar.interval is None or bar.interval[0] <= 0 <= bar.interval[1]:
        return theme.muted
    return theme.right if bar.value > 0 else theme.wrong


def _rows(axes: Axes, labels: Sequence[str], middles: np.ndarray, step: Sequence[float]) -> None:
    axes.set_yticks(middles, labels)
    axes.set_ylim(sum(step), 0)


def _center(axes: Axes, bars: Sequence[Bar], theme: Theme) -> None:
    ends = [abs(100 * x) for bar in bars for x in (bar.value, *(bar.interval or ()))]
    reach = 1.55 * max([*ends, 0.5])  # the numbers need room too
    axes.set_xlim(-reach, reach)
    axes.axvline(0, color=theme.muted, linewidth=1)
    axes.tick_params(axis="y", left=False, labelleft=False)


def _heights(labels: Sequence[str], *, per_row: int = 1) -> list[float]:
    return [max(_ROW * max(1.0, 0.72 * per_row), 0.15 * (t.count("\n") + 1) + 0.1) for t in labels]
