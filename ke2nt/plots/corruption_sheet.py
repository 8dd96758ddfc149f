"""One face under every corruption."""

from __future__ import annotations

import numpy as np

from ke2nt.data.corruption import KINDS, Corruption
from ke2nt.data.images import decode
from ke2nt.plots.figure import ImageFormat, encode_figure, new_figure, style_axes
from ke2nt.plots.theme import LIGHT, Theme
from ke2nt.runtime.seeding import derive_seed

__all__ = ["plot_corruptions"]

_SIDE = 112  # px of each picture
_GAP = 6


def plot_corruptions(
    pixels: np.ndarray, *, seed: int = 0, theme: Theme = LIGHT, format: ImageFormat = "png"
) -> bytes:
    """A face as it is and at severities 1 to 5, a row a kind.

    Args:
        pixels: uint8 (H, W, 3), RGB.
        seed: Seed of what is drawn.
        theme: Colors.
        format: "png" or "svg".
    """
    step = _SIDE + _GAP
    paper = np.array([int(theme.surface[i : i + 2], 16) for i in (1, 3, 5)], np.uint8)
    sheet = np.tile(paper, (len(KINDS) * step - _GAP, 6 * step - _GAP, 1))
    for row, kind in enumerate(KINDS):
        for severity in range(6):
            face = pixels
            if severity:
                face = Corruption(kind, severity, derive_seed(seed, kind, "sheet"))(pixels)
            top, left = row * step, severity * step
            face = decode(face, size=_SIDE, interpolation="nearest")
            sheet[top : top + _SIDE, left : left + _SIDE] = face
    figure = new_figure(theme, 0.95 * len(KINDS) + 0.3, 7.2)
    axes = style_axes(figure.add_subplot(), theme)
    axes.imshow(sheet, interpolation="nearest")
    middle = _SIDE / 2 + step * np.arange(len(KINDS))
    axes.set_yticks(middle, [kind.replace("_", " ") for kind in KINDS])
    axes.set_xticks(middle[:6], ["as it is", *(f"severity {s}" for s in range(1, 6))])
    axes.tick_params(top=True, labeltop=True, bottom=False, labelbottom=False)
    return encode_figure(figure, format)
