"""Boxes and labels drawn on images."""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from typing import Any

import numpy as np
from PIL import Image, ImageColor, ImageDraw, ImageFont

from ke2nt.plots.class_colors import class_colors
from ke2nt.plots.theme import LIGHT
from ke2nt.predict.detections import Box
from ke2nt.predict.result import FaceResult

__all__ = ["annotate"]

_WITHHELD_COLOR = LIGHT.muted
_PADDING = 2  # pixels between the text and the border of its label


def annotate(pixels: np.ndarray, rows: Iterable[FaceResult]) -> np.ndarray:
    """Draw the box and the predicted expression of each face on a copy of an image.

    Args:
        pixels: uint8 (H, W, 3) RGB.
        rows: Results of the image; those without a box are skipped.

    Returns:
        uint8 (H, W, 3).
    """
    # thin enough for small images, visible on large ones
    image = Image.fromarray(pixels)
    draw = ImageDraw.Draw(image)
    line_width = max(1, round(max(image.size) / 400))

    for row in rows:
        if row.box is None:
            continue
        color = _pick_color(row)
        draw.rectangle(row.box, outline=color, width=line_width)
        _draw_label(draw, image.size, row.box, _format_label(row), color)
    return np.asarray(image)


def _pick_color(row: FaceResult) -> str:
    """Color of the predicted class; gray if the prediction is withheld."""
    classes = list(row.probabilities)
    if row.label not in classes:
        return _WITHHELD_COLOR
    return class_colors(len(classes))[classes.index(row.label)]


def _format_label(row: FaceResult) -> str:
    """Text of a label, such as "2: happiness 93 %"."""
    text = f"{row.label or '?'} {100 * (row.confidence or 0):.0f} %"
    return text if row.track is None else f"{row.track}: {text}"


def _draw_label(
    draw: ImageDraw.ImageDraw, size: tuple[int, int], box: Box, text: str, color: str
) -> None:
    image_width, image_height = size
    font = _load_font(max(10, round(max(size) / 45)))
    left, top, right, bottom = font.getbbox(text)
    width, height = right - left + 2 * _PADDING, bottom - top + 2 * _PADDING

    # above the box if there is room, else below it, always inside the image
    x = min(max(box[0], 0), max(image_width - width, 0))
    y = box[1] - height if box[1] >= height else min(box[3], image_height - height)

    draw.rectangle((x, y, x + width, y + height), fill=color)
    text_color = LIGHT.readable_on([value / 255 for value in ImageColor.getrgb(color)])
    draw.text((x + _PADDING - left, y + _PADDING - top), text, fill=text_color, font=font)


@lru_cache(maxsize=8)
def _load_font(size: int) -> Any:
    return ImageFont.load_default(size)
