"""Heat maps side by side: recalls, the geometry of text, and matrices of evaluations."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap

from ke2nt.plots.bars import wrap_name
from ke2nt.plots.figure import SMALL, TEXT, ImageFormat, encode_figure, new_figure, style_axes
from ke2nt.plots.theme import LIGHT, Theme

__all__ = ["HeatPanel", "plot_heat_maps"]

_CELL = 0.42  # inches
_MANY_ROWS = 12


@dataclass(frozen=True, slots=True, eq=False)
class HeatPanel:
    """A matrix of numbers.

    Attributes:
        title: What it shows.
        rows: Names of the rows.
        columns: Names of the columns.
        values: (R, C), NaN for an empty cell.
        texts: (R, C) texts written in the cells.
        low: The value that gets the background's color.
        high: The value that gets the accent's color.
    """

    title: str
    rows: Sequence[str]
    columns: Sequence[str]
    values: np.ndarray
    texts: Sequence[Sequence[str]]
    low: float
    high: float


def plot_heat_maps(
    panels: Sequence[HeatPanel], *, theme: Theme = LIGHT, format: ImageFormat = "png"
) -> bytes:
    """Plot heat maps side by side."""
    labels = [[wrap_name(name) for name in panel.rows] for panel in panels]

    # Rows are as high as the tallest name needs, panels as wide as the longest line.
    lines = [label.split("\n") for names in labels for label in names]
    most_lines = max(map(len, lines))
    longest_line = max(len(line) for label_lines in lines for line in label_lines)
    num_rows = max(len(panel.rows) for panel in panels)
    widths = [max(2.2, _CELL * len(panel.columns)) for panel in panels]
    height = max(_CELL, 0.15 * most_lines + 0.1) * num_rows + 1.25
    width = sum(widths) + len(panels) * (0.35 + 0.062 * longest_line)

    figure = new_figure(theme, height, width)
    grid = figure.subplots(1, len(panels), squeeze=False, width_ratios=widths)[0]
    for axes, panel, names in zip(grid, panels, labels, strict=True):
        _draw_panel(axes, panel, names, theme)
    return encode_figure(figure, format)


def _draw_panel(axes: Axes, panel: HeatPanel, names: Sequence[str], theme: Theme) -> None:
    """Draw a matrix, its texts and its names."""
    style_axes(axes, theme)

    # (R, C) in [0, 1]; empty cells have the background's color
    colors = LinearSegmentedColormap.from_list("heat", [theme.surface, theme.accent])
    above_low = np.nan_to_num(panel.values, nan=panel.low) - panel.low
    shade = np.clip(above_low / max(panel.high - panel.low, 1e-9), 0, 1)
    axes.pcolormesh(shade, cmap=colors, vmin=0, vmax=1, edgecolors=theme.line, linewidth=0.6)

    centered: dict[str, Any] = {"ha": "center", "va": "center", "size": SMALL + 0.5}
    for (r, c), value in np.ndenumerate(shade):
        ink = theme.readable_on(colors(float(value))[:3])
        axes.text(c + 0.5, r + 0.5, panel.texts[r][c], color=ink, **centered)

    # Above a long matrix, where reading starts, instead of below.
    above = len(names) > _MANY_ROWS
    axes.set_xticks(
        np.arange(len(panel.columns)) + 0.5,
        panel.columns,
        rotation=40,
        ha="left" if above else "right",
        rotation_mode="anchor",
    )
    axes.tick_params(axis="x", top=above, labeltop=above, labelbottom=not above)

    axes.set_yticks(np.arange(len(names)) + 0.5, names)
    axes.set_title(panel.title, size=TEXT, color=theme.ink, loc="left")
    axes.invert_yaxis()
