"""Results drawn on pictures. The only file of this room that imports Pillow."""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageColor, ImageDraw, ImageFont

from ke2nt.plots.class_colors import class_colors
from ke2nt.plots.theme import LIGHT
from ke2nt.predict.result import FaceResult
from ke2nt.runtime.atomic import write_bytes

__all__ = ["annotate", "resize", "write_picture"]

_WITHHELD = LIGHT.muted


def resize(pixels: np.ndarray, width: int, height: int) -> np.ndarray:
    """uint8 (H, W, 3) → (height, width, 3), antialiased."""
    picture = Image.fromarray(pixels).resize((width, height), Image.Resampling.BILINEAR)
    return np.asarray(picture)


def annotate(pixels: np.ndarray, rows: Iterable[FaceResult]) -> np.ndarray:
    """A copy of a picture with the box and the answer of each face drawn on it.

    Args:
        pixels: uint8 (H, W, 3) RGB.
        rows: The picture's rows; those without a box are not drawn.

    Returns:
        uint8 (H, W, 3).
    """
    picture = Image.fromarray(pixels)
    draw = ImageDraw.Draw(picture)
    line = max(1, round(max(picture.size) / 400))
    for row in rows:
        if row.box is None:
            continue
        classes = list(row.probabilities)
        index = classes.index(row.label) if row.label in classes else None
        color = _WITHHELD if index is None else class_colors(len(classes))[index]
        draw.rectangle(row.box, outline=color, width=line)
        _write_label(draw, picture.size, row, color)
    return np.asarray(picture)


def _write_label(
    draw: ImageDraw.ImageDraw, size: tuple[int, int], row: FaceResult, color: str
) -> None:
    assert row.box is not None
    text = f"{row.label or '?'} {100 * (row.confidence or 0):.0f} %"
    if row.track is not None:
        text = f"{row.track}: {text}"
    font = _font(max(10, round(max(size) / 45)))
    left, top, right, bottom = font.getbbox(text)
    pad = 2
    width, height = right - left + 2 * pad, bottom - top + 2 * pad
    x = min(max(row.box[0], 0), max(size[0] - width, 0))
    y = row.box[1] - height if row.box[1] >= height else min(row.box[3], size[1] - height)
    draw.rectangle((x, y, x + width, y + height), fill=color)
    ink = LIGHT.readable_on([value / 255 for value in ImageColor.getrgb(color)])
    draw.text((x + pad - left, y + pad - top), text, fill=ink, font=font)


@lru_cache(maxsize=8)
def _font(size: int) -> Any:
    return ImageFont.load_default(size)


def write_picture(path: Path, pixels: np.ndarray) -> None:
    """Write uint8 (H, W, 3) pixels as a PNG or JPEG file, by its suffix."""
    buffer = BytesIO()
    kind = "JPEG" if path.suffix.lower() in (".jpg", ".jpeg") else "PNG"
    Image.fromarray(pixels).save(buffer, kind, quality=92)
    write_bytes(path, buffer.getvalue())
