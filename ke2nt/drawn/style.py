"""Drawing styles: the domains in which the same face can appear."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
from PIL import Image

from ke2nt.drawn.colors import BLACK, Color
from ke2nt.drawn.finish import (
    finish_archive,
    finish_camera,
    finish_night,
    finish_pencil,
    finish_print,
)
from ke2nt.drawn.identity import Identity
from ke2nt.drawn.palette import Palette, flat_palette, paper_palette, photo_palette
from ke2nt.errors import DataError
from ke2nt.runtime.renamed import warn_renamed
from ke2nt.runtime.suggest import did_you_mean

__all__ = ["STYLES", "Style", "current_style"]


@dataclass(frozen=True, slots=True)
class Style:
    """How a scene becomes an image.

    Attributes:
        palette: Colors for an identity.
        finish: What camera or paper does to the image.
        backdrop: "scene" (blurred), "flat" (one color) or "paper".
        shading: Strength of the soft layers, 0 (flat) to 1.
        outline: Width of drawn outlines in face units; 0 draws none.
        line: Color of the outlines.
    """

    palette: Callable[[Identity], Palette]
    finish: Callable[[Image.Image, np.random.Generator], Image.Image]
    backdrop: Literal["scene", "flat", "paper"] = "scene"
    shading: float = 1.0
    outline: float = 0.0
    line: Color = BLACK


STYLES: Mapping[str, Style] = {
    "photo": Style(photo_palette, finish_camera),
    "gray48": Style(photo_palette, finish_archive),
    "sketch": Style(
        paper_palette, finish_pencil, "paper", shading=0.8, outline=0.026, line=(70, 68, 70)
    ),
    "cartoon": Style(
        flat_palette, finish_print, "flat", shading=0.3, outline=0.034, line=(44, 28, 36)
    ),
    "night": Style(photo_palette, finish_night),
}

_RENAMED = {"grey48": "gray48"}


def current_style(name: str) -> str:
    """The name of a style, with a warning where an old name is given.

    Raises:
        DataError: No style has that name.
    """
    if name in _RENAMED:
        warn_renamed("drawing style", name, _RENAMED[name])
        return _RENAMED[name]

    if name not in STYLES:
        raise DataError(
            f"unknown style {name!r}",
            expected=f"one of {', '.join(STYLES)}",
            hint=did_you_mean(name, STYLES),
        )
    return name
