"""One face under every corruption."""

from __future__ import annotations

import numpy as np

from ke2nt.data.corruption import KINDS, Corruption
from ke2nt.data.images import decode
from ke2nt.plots.figure import ImageFormat, encode_figure, new_figure, style_axes
from ke2nt.plots.theme import LIGHT, Theme
from ke2nt.runtime.seeding import derive_seed

__all__ = ["plot_corruptions"]

_SIDE = 112  # px of each face
_GAP = 6
_STEP = _SIDE + _GAP
_SEVERITIES = range(6)  # 0 is the face without corruption


def plot_corruptions(
    pixels: np.ndarray, *, seed: int = 0, theme: Theme = LIGHT, format: ImageFormat = "png"
) -> bytes:
    """Plot a face without corruption and at severities 1 to 5, one row per kind.

    Args:
        pixels: uint8 (H, W, 3), RGB.
        seed: Seed of the corruptions.
        theme: Colors.
        format: "png", "svg" or "pdf".
    """
    sheet = _paint_sheet(pixels, seed, theme)
    figure = new_figure(theme, 0.95 * len(KINDS) + 0.3, 7.2)
    axes = style_axes(figure.add_subplot(), theme)
    axes.imshow(sheet, interpolation="nearest")

    middles = _SIDE / 2 + _STEP * np.arange(len(KINDS))
    axes.set_yticks(middles, [kind.replace("_", " ") for kind in KINDS])
    severities = [f"severity {s}" for s in _SEVERITIES[1:]]
    axes.set_xticks(middles[: len(_SEVERITIES)], ["original", *severities])
    axes.tick_params(top=True, labeltop=True, bottom=False, labelbottom=False)
    return encode_figure(figure, format)


def _paint_sheet(pixels: np.ndarray, seed: int, theme: Theme) -> np.ndarray:
    """uint8 (H, W, 3): the corrupted faces in a grid, on the theme's surface."""
    background = np.array([int(theme.surface[i : i + 2], 16) for i in (1, 3, 5)], np.uint8)
    height, width = len(KINDS) * _STEP - _GAP, len(_SEVERITIES) * _STEP - _GAP
    sheet = np.tile(background, (height, width, 1))

    for row, kind in enumerate(KINDS):
        for severity in _SEVERITIES:
            face = pixels
            if severity:
                face = Corruption(kind, severity, derive_seed(seed, kind, "sheet"))(pixels)
            face = decode(face, size=_SIDE, interpolation="nearest")
            top, left = row * _STEP, severity * _STEP
            sheet[top : top + _SIDE, left : left + _SIDE] = face
    return sheet
