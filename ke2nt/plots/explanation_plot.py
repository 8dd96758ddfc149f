"""The contact sheet of `ke2nt explain`: every face beside its heat maps."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ke2nt.plots.figure import ImageFormat, encode_figure, new_figure
from ke2nt.plots.theme import LIGHT, Theme

__all__ = ["ExplainedFace", "plot_explanations"]

_CELL = 1.35  # inches
_ACROSS = 6  # cells in a row
_SMALL, _TEXT = 6.5, 7.5


@dataclass(frozen=True, eq=False)
class ExplainedFace:
    """One face of the sheet.

    Attributes:
        name: File of the face.
        answer: The model's answer.
        pixels: uint8 (S, S, 3), the face.
        overlays: (caption, uint8 (S, S, 3)) of each heat map.
    """

    name: str
    answer: str
    pixels: np.ndarray
    overlays: Sequence[tuple[str, np.ndarray]]


def plot_explanations(
    faces: Sequence[ExplainedFace],
    legend: str,
    *,
    theme: Theme = LIGHT,
    format: ImageFormat = "png",
) -> bytes:
    """Plot faces in rows, each followed by its overlays.

    Args:
        faces: At least one; all with the same number of overlays.
        legend: What the colors mean.
        theme: Colors.
        format: "png", "svg" or "pdf".
    """
    width = 1 + len(faces[0].overlays)
    across = max(1, _ACROSS // width)
    rows = -(-len(faces) // across)

    figure = new_figure(theme, rows * (_CELL + 0.42) + 0.3, across * width * _CELL)
    grid = figure.subplots(rows, across * width, squeeze=False)
    for axes in grid.flat:
        axes.set_axis_off()

    # A face takes as many cells as it has overlays, and one for itself.
    for number, face in enumerate(faces):
        row, column = divmod(number, across)
        cells = grid[row, column * width : (column + 1) * width]
        cells[0].imshow(face.pixels)
        cells[0].set_title(
            f"{_shorten(face.name)}\n{face.answer}", size=_SMALL, color=theme.ink, loc="left", pad=3
        )
        for axes, (caption, pixels) in zip(cells[1:], face.overlays, strict=True):
            axes.imshow(pixels)
            axes.set_title(_shorten(caption, 2), size=_SMALL, color=theme.muted, loc="left", pad=3)

    figure.supxlabel(legend, size=_TEXT, color=theme.muted)
    return encode_figure(figure, format)


def _shorten(text: str, lines: int = 1) -> str:
    """Wrap a text to lines of at most 22 letters; the start of a long text is cut off."""
    most = 22 * lines
    text = text if len(text) <= most else "…" + text[1 - most :]
    return textwrap.fill(text, 22)
