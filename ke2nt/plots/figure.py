"""Themed figures and axes, drawn without a display and without matplotlib's global state."""

from __future__ import annotations

import io
from typing import Any, Literal

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from matplotlib.image import imsave

from ke2nt.plots.theme import Theme

__all__ = [
    "SMALL",
    "TEXT",
    "ImageFormat",
    "add_legend",
    "encode_figure",
    "encode_png",
    "new_figure",
    "style_axes",
]

ImageFormat = Literal["png", "svg", "pdf"]
SMALL = 7.0  # font sizes in points
TEXT = 8.5

_DPI = 200
_WIDTH = 4.3  # inches: fills a phone at a readable size, half a desktop page
_PNG_METADATA: dict[str, Any] = {"Software": None}
_METADATA: dict[ImageFormat, dict[str, Any]] = {
    "png": _PNG_METADATA,
    "svg": {"Date": None},
    "pdf": {"CreationDate": None, "Creator": None, "Producer": None},
}


def new_figure(theme: Theme, height: float, width: float = _WIDTH) -> Figure:
    """Create an empty figure; height and width in inches."""
    figure = Figure(figsize=(width, height), facecolor=theme.surface)
    figure.set_layout_engine("constrained", w_pad=0.07, h_pad=0.06)
    return figure


def style_axes(axes: Axes, theme: Theme, *, grid: Literal["x", "y", "both"] | None = None) -> Axes:
    """Apply a theme's colors and sizes to axes.

    Args:
        axes: The axes to change.
        theme: Colors.
        grid: Directions that get grid lines; None also hides the spines.

    Returns:
        The same axes.
    """
    axes.set_facecolor(theme.surface)
    axes.tick_params(colors=theme.ink, labelsize=TEXT, length=0)

    for side, spine in axes.spines.items():
        spine.set_visible(grid is not None and side in ("left", "bottom"))
        spine.set_color(theme.line)

    axes.xaxis.label.set(color=theme.muted, size=TEXT)
    axes.yaxis.label.set(color=theme.muted, size=TEXT)

    # Grid lines lie below the data.
    if grid:
        axes.grid(axis=grid, color=theme.line, linewidth=0.7)
        axes.set_axisbelow(True)
    return axes


def add_legend(axes: Axes, theme: Theme) -> None:
    """Add a one-line legend above the axes."""
    axes.legend(
        loc="lower left",
        bbox_to_anchor=(0, 1),
        ncols=4,
        frameon=False,
        fontsize=SMALL,
        labelcolor=theme.ink,
        borderaxespad=0.2,
        handlelength=1.7,
        columnspacing=1.0,
    )


def encode_figure(figure: Figure, format: ImageFormat) -> bytes:
    """Return the file of a figure; equal figures give equal bytes."""
    buffer = io.BytesIO()
    # no time and no version in the file; publishers require fonts of type 42 in PDF
    with matplotlib.rc_context({"svg.hashsalt": "ke2nt", "pdf.fonttype": 42}):
        if format == "svg":
            # `savefig` would draw twice: for the layout, which is part of any drawing, and again
            figure.dpi = _DPI
            FigureCanvasSVG(figure).print_svg(buffer, metadata=_METADATA[format])
        else:
            figure.savefig(buffer, format=format, dpi=_DPI, metadata=_METADATA[format])
    return buffer.getvalue()


def encode_png(pixels: np.ndarray) -> bytes:
    """Return the PNG file of uint8 pixels (H, W, 3)."""
    buffer = io.BytesIO()
    imsave(buffer, np.ascontiguousarray(pixels), format="png", metadata=_PNG_METADATA)
    return buffer.getvalue()
