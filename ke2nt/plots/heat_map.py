"""Heat maps of the prompt lab: recalls, and the geometry of text."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.colors import LinearSegmentedColormap

from ke2nt.plots.figure import ImageFormat, encode_figure, new_figure, style_axes
from ke2nt.plots.theme import LIGHT, Theme

__all__ = ["HeatPanel", "plot_heat_maps", "wrapped"]

_SMALL, _TEXT = 7.0, 8.5
_TALL = 12  # rows


@dataclass(frozen=True, slots=True, eq=False)
class HeatPanel:
    """A matrix of numbers.

    Attributes:
        title: What it shows.
        rows: Names of the rows.
        columns: Names of the columns.
        values: (R, C), NaN for an empty cell.
        texts: (R, C) what is written in the cells.
        low: The value that has the color of the background.
        high: The value that has the accent's color.
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
    """Heat maps side by side."""
    cell = 0.42
    widths = [max(2.2, cell * len(p.columns)) for p in panels]
    rows = max(len(p.rows) for p in panels)
    labels = [[wrapped(name) for name in p.rows] for p in panels]
    lines = [text.split("\n") for names in labels for text in names]
    tallest, longest = max(map(len, lines)), max(len(line) for text in lines for line in text)
    height = max(cell, 0.15 * tallest + 0.1) * rows + 1.25
    width = sum(widths) + len(panels) * (0.35 + 0.062 * longest)
    figure = new_figure(theme, height, width)
    colors = LinearSegmentedColormap.from_list("heat", [theme.surface, theme.accent])
    grid = figure.subplots(1, len(panels), squeeze=False, width_ratios=widths)[0]
    for axes, panel, names in zip(grid, panels, labels, strict=True):
        style_axes(axes, theme)
        above_low = np.nan_to_num(panel.values, nan=panel.low) - panel.low
        shade = np.clip(above_low / max(panel.high - panel.low, 1e-9), 0, 1)
        axes.pcolormesh(shade, cmap=colors, vmin=0, vmax=1, edgecolors=theme.line, linewidth=0.6)
        for (r, c), value in np.ndenumerate(shade):
            ink = theme.readable_on(colors(float(value))[:3])
            text = panel.texts[r][c]
            axes.text(
                c + 0.5, r + 0.5, text, ha="center", va="center", color=ink, size=_SMALL + 0.5
            )
        above = len(names) > _TALL  # the names of the columns, where the eye begins
        axes.set_xticks(
            np.arange(len(panel.columns)) + 0.5,
            panel.columns,
            rotation=40,
            ha="left" if above else "right",
            rotation_mode="anchor",
        )
        axes.tick_params(axis="x", top=above, labeltop=above, labelbottom=not above)
        axes.set_yticks(np.arange(len(names)) + 0.5, names)
        axes.set_title(panel.title, size=_TEXT, color=theme.ink, loc="left")
        axes.invert_yaxis()
    return encode_figure(figure, format)


def wrapped(text: str, width: int = 42) -> str:
    """A long name on up to three lines."""
    return "\n".join(textwrap.wrap(text, width, max_lines=3, placeholder=" …"))
