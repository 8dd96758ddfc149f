"""Horizontal bars with intervals, in rows with names: the parts of `bar_plots`."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes

from ke2nt.plots.figure import SMALL
from ke2nt.plots.theme import Theme

__all__ = [
    "BAR_HEIGHT",
    "ROW_HEIGHT",
    "Bar",
    "Rows",
    "center_at_zero",
    "draw_bars",
    "find_percent_limit",
    "label_rows",
    "lay_out_rows",
    "verdict_color",
    "wrap_name",
]

ROW_HEIGHT = 0.3  # inches
BAR_HEIGHT = 0.62 * ROW_HEIGHT


@dataclass(frozen=True, slots=True)
class Bar:
    """A value with its interval.

    Attributes:
        value: A share in [0, 1], or a difference of shares in [−1, 1].
        interval: 95 % interval, or None.
    """

    value: float
    interval: tuple[float, float] | None = None

    @property
    def ends(self) -> tuple[float, ...]:
        """The value and the ends of the interval."""
        return (self.value, *(self.interval or ()))


@dataclass(frozen=True, slots=True)
class Rows:
    """Rows of a plot, from the top; lengths in inches.

    Attributes:
        labels: Names on one or more lines.
        heights: Height of each row.
    """

    labels: Sequence[str]
    heights: Sequence[float]

    @property
    def middles(self) -> np.ndarray:
        """Distance of each row's middle from the top."""
        tops = np.cumsum([0.0, *self.heights[:-1]])
        middles: np.ndarray = tops + np.array(self.heights) / 2
        return middles


def wrap_name(text: str, width: int = 42) -> str:
    """Wrap a long name to at most three lines."""
    return "\n".join(textwrap.wrap(text, width, max_lines=3, placeholder=" …"))


def lay_out_rows(names: Sequence[str], *, bars_per_row: int = 1, stretch: float = 1.0) -> Rows:
    """Make rows that are high enough for their names and bars."""
    labels = [wrap_name(name) for name in names]
    heights = []
    for label in labels:
        for_bars = ROW_HEIGHT * max(1.0, 0.72 * bars_per_row)
        for_name = 0.15 * (label.count("\n") + 1) + 0.1
        heights.append(stretch * max(for_bars, for_name))
    return Rows(labels, heights)


def draw_bars(
    axes: Axes,
    bars: Sequence[tuple[float, Bar]],
    thickness: float,
    colors: Sequence[str],
    theme: Theme,
    *,
    label: str | None = None,
    signed: bool = False,
) -> None:
    """Draw bars in percent, each with its interval and number.

    Args:
        axes: Where to draw.
        bars: Position of each bar, and the bar.
        thickness: Thickness of a bar.
        colors: Color of each bar.
        theme: Colors of the rest.
        label: Name in the legend.
        signed: Whether the bars are differences, which go both ways from 0.
    """
    values = [100 * bar.value for _, bar in bars]
    positions = [y for y, _ in bars]
    axes.barh(positions, values, height=thickness, color=list(colors), alpha=0.55, label=label)

    for (y, bar), value in zip(bars, values, strict=True):
        end = value
        if bar.interval:
            low, high = (100 * x for x in bar.interval)
            axes.plot([low, high], [y, y], color=theme.ink, linewidth=1.2)
            axes.plot([low, high], [y, y], "|", color=theme.ink, markersize=4)
            end = high if value >= 0 or not signed else low

        # The number stands beyond the end of the interval.
        left = signed and value < 0
        axes.annotate(
            _format_points(value) if signed else f"{value:.1f}",
            (end, y),
            xytext=(-4 if left else 4, 0),
            textcoords="offset points",
            ha="right" if left else "left",
            va="center",
            size=SMALL,
            color=theme.ink,
            bbox={"facecolor": theme.surface, "edgecolor": "none", "pad": 0.8},
        )


def label_rows(axes: Axes, rows: Rows) -> None:
    """Write the names of rows, the first one at the top."""
    axes.set_yticks(rows.middles, rows.labels)
    axes.set_ylim(sum(rows.heights), 0)


def find_percent_limit(bars: Sequence[Bar | None]) -> float:
    """Find the end of a percent axis: just beyond the longest bar and its number."""
    longest = max(100 * max(bar.ends) for bar in bars if bar)
    return float(min(100, 10 * np.ceil((1.08 * longest + 2) / 10)))


def center_at_zero(axes: Axes, bars: Sequence[Bar], theme: Theme) -> None:
    """Give an axis of differences the same length on both sides of 0."""
    longest = max([*(abs(100 * end) for bar in bars for end in bar.ends), 0.5])
    limit = 1.55 * longest  # the numbers need room too
    axes.set_xlim(-limit, limit)
    axes.axvline(0, color=theme.muted, linewidth=1)
    axes.tick_params(axis="y", left=False, labelleft=False)


def verdict_color(bar: Bar, theme: Theme) -> str:
    """Choose the color of right or wrong if the interval excludes 0, else gray."""
    if bar.interval is None or bar.interval[0] <= 0 <= bar.interval[1]:
        return theme.muted
    return theme.right if bar.value > 0 else theme.wrong


def _format_points(value: float) -> str:
    text = f"{value:+.1f}".replace("-", "−")
    return "0" if text in ("+0.0", "−0.0") else text
