"""A grid of faces with names for its rows and columns."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ke2nt.drawn.sheet import contact_sheet
from ke2nt.plots.figure import ImageFormat, encode_figure, new_figure, style_axes
from ke2nt.plots.theme import LIGHT, Theme

__all__ = ["plot_face_grid"]

_GAP = 2
_CELL = 0.62  # inches


def plot_face_grid(
    faces: np.ndarray,
    columns: Sequence[str],
    rows: Sequence[str] = (),
    *,
    title: str = "",
    theme: Theme = LIGHT,
    format: ImageFormat = "png",
) -> bytes:
    """Plot a grid of faces.

    Args:
        faces: uint8 (R, C, S, S, 3).
        columns: C names, shown above the grid.
        rows: R names, or none.
        title: Headline.
        theme: Colors.
        format: "png", "svg" or "pdf".

    Returns:
        The file's bytes, the same for the same arguments.
    """
    num_rows, num_columns, side = faces.shape[:3]
    sheet = contact_sheet(faces.reshape(-1, side, side, 3), num_columns, gap=_GAP)

    figure = new_figure(theme, _CELL * num_rows + 0.6, _CELL * num_columns + 0.9)
    axes = style_axes(figure.add_subplot(), theme)
    axes.imshow(sheet, interpolation="nearest")

    # Names stand at the middles of their faces.
    step = side + _GAP
    axes.set_xticks(
        [_GAP + step * i + side / 2 for i in range(num_columns)],
        list(columns),
        rotation=35,
        ha="left",
        fontsize=6.5,
    )
    axes.xaxis.tick_top()
    axes.set_yticks(
        [_GAP + step * i + side / 2 for i in range(num_rows)] if rows else [], list(rows)
    )

    if title:
        axes.set_title(title, color=theme.ink, fontsize=8, loc="left")
    return encode_figure(figure, format)
