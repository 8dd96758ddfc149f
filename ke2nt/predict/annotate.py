"""Boxes and labels drawn on images."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

import numpy as np
from PIL import Image, ImageColor, ImageDraw, ImageFont

from ke2nt.plots.class_colors import class_colors
from ke2nt.plots.theme import LIGHT
from ke2nt.predict.detections import Box
from ke2nt.predict.label_layout import find_free_place
from ke2nt.predict.result import FaceResult

__all__ = ["annotate", "annotate_frame", "contact_sheet", "draw_annotated"]

_MIN_SIDE = 320  # pixels of the longer side; smaller photos are enlarged to hold a label
_WITHHELD_COLOR = LIGHT.muted
_NO_FACE = "no face found"
_SHEET_SIDE = 320  # pixels of an image on a contact sheet

# Font sizes: a share of the face, within shares of the image's longer side
_FONT_OF_FACE = 0.14
_FONT_OF_IMAGE = (1 / 70, 1 / 18)
_MIN_FONT = 11
_SHRINK = (1.0, 0.8, 0.65)  # tried in this order until a label finds a place


@dataclass(frozen=True, slots=True)
class _Label:
    """A text with its colors, and its font."""

    text: str
    color: str
    font: Any

    @property
    def padding(self) -> int:
        """Pixels between the text and the border of the label."""
        return max(2, round(self.font.size / 6))

    @property
    def size(self) -> tuple[int, int]:
        """Width and height; the height is the same for all texts of a font."""
        ascent, descent = self.font.getmetrics()
        width = round(self.font.getlength(self.text)) + 2 * self.padding
        return width, ascent + descent + self.padding

    def draw(self, draw: ImageDraw.ImageDraw, x: float, y: float) -> None:
        """Draw the label with its upper left corner at (x, y)."""
        width, height = self.size
        draw.rectangle((x, y, x + width - 1, y + height - 1), fill=self.color)
        ink = LIGHT.readable_on([value / 255 for value in ImageColor.getrgb(self.color)])
        draw.text((x + self.padding, y + self.padding / 2), self.text, fill=ink, font=self.font)


def annotate(pixels: np.ndarray, rows: Iterable[FaceResult]) -> np.ndarray:
    """Draw the box and the prediction of each face on a copy of a photo.

    Labels never cover a face or each other: a face whose label has no room beside it gets a number,
    and its label stands in a strip below the photo. A photo without a face says so there.

    Args:
        pixels: uint8 (H, W, 3) RGB; enlarged by a whole number if it is too small for a label.
        rows: Results of the photo.

    Returns:
        uint8 (H', W', 3), as large as the photo, or larger.
    """
    return np.asarray(draw_annotated(pixels, rows))


def draw_annotated(pixels: np.ndarray, rows: Iterable[FaceResult]) -> Image.Image:
    """Draw what `annotate` draws, as a PIL image."""
    # boxes grow with the photo
    factor = max(1, round(_MIN_SIDE / max(pixels.shape[:2])))
    image = Image.fromarray(pixels)
    if factor > 1:
        size = (image.width * factor, image.height * factor)
        image = image.resize(size, Image.Resampling.BICUBIC)
    faces = [row for row in rows if row.box is not None]
    boxes = [_scale(row.box, factor) for row in faces if row.box is not None]

    left_over = _draw_faces(image, faces, boxes)
    if not faces:
        font = _load_font(_font_size(max(image.size) / 4, image.size))
        left_over = [_Label(_NO_FACE, _WITHHELD_COLOR, font)]
    return _add_strip(image, left_over)


def contact_sheet(images: Sequence[Image.Image], columns: int) -> Image.Image:
    """Put images side by side, each reduced to 320 px."""
    cells = []
    for image in images:
        cell = image.copy()
        cell.thumbnail((_SHEET_SIDE, _SHEET_SIDE))
        cells.append(cell)

    # rows of equal cells on white
    num_columns = max(1, min(columns, len(cells)))
    num_rows = -(-len(cells) // num_columns)
    size = (num_columns * _SHEET_SIDE, max(1, num_rows) * _SHEET_SIDE)
    sheet = Image.new("RGB", size, LIGHT.surface)
    for index, cell in enumerate(cells):
        row, column = divmod(index, num_columns)
        sheet.paste(cell, (column * _SHEET_SIDE, row * _SHEET_SIDE))
    return sheet


def annotate_frame(pixels: np.ndarray, rows: Iterable[FaceResult]) -> np.ndarray:
    """Draw the same on a video frame, which keeps its size.

    A label without room beside its face is drawn over the lower end of the face.

    Args:
        pixels: uint8 (H, W, 3) RGB.
        rows: Results of the frame.

    Returns:
        uint8 (H, W, 3).
    """
    image = Image.fromarray(pixels)
    draw = ImageDraw.Draw(image)
    faces = [row for row in rows if row.box is not None]
    boxes = [row.box for row in faces if row.box is not None]
    _draw_faces(image, faces, boxes, inside=True)

    if not faces:
        font = _load_font(_font_size(max(image.size) / 4, image.size))
        _Label(_NO_FACE, _WITHHELD_COLOR, font).draw(draw, 0, 0)
    return np.asarray(image)


def _draw_faces(
    image: Image.Image, faces: Sequence[FaceResult], boxes: Sequence[Box], *, inside: bool = False
) -> list[_Label]:
    """Draw boxes and labels; return the labels without room, numbered as their boxes are."""
    draw = ImageDraw.Draw(image)
    for row, box in zip(faces, boxes, strict=True):
        draw.rectangle(box, outline=_pick_color(row), width=_line_width(box, image.size))

    # large faces first, as their labels are the largest
    order = sorted(range(len(faces)), key=lambda i: boxes[i][0] - boxes[i][2])
    obstacles = [*boxes]
    homeless: dict[int, _Label] = {}
    for index in order:
        row, box = faces[index], boxes[index]
        label, place = _find_place(row, box, image.size, obstacles)
        if place is None and inside:
            place = _place_inside(box, label, image.size)
        if place is None:
            # the strip has room for the full size, but many labels shall fit into a line
            side = _side(box) if len(faces) == 1 else 0.0
            homeless[index] = replace(label, font=_load_font(_font_size(side, image.size)))
        else:
            obstacles.append(place)
            label.draw(draw, place[0], place[1])

    # one face needs no number
    if len(faces) == 1:
        return list(homeless.values())
    left_over = []
    for number, index in enumerate(sorted(homeless), start=1):
        label = homeless[index]
        tag = _Label(str(number), label.color, label.font)
        tag.draw(draw, max(boxes[index][0], 0), max(boxes[index][1], 0))
        left_over.append(_Label(f"{number}  {label.text}", label.color, label.font))
    return left_over


def _find_place(
    row: FaceResult, box: Box, image_size: tuple[int, int], obstacles: Sequence[Box]
) -> tuple[_Label, Box | None]:
    """The label of a face in the largest font that has room next to it, or in the smallest."""
    full_size = _font_size(_side(box), image_size)
    gap = _line_width(box, image_size)
    for share in _SHRINK:
        font = _load_font(max(_MIN_FONT, round(share * full_size)))
        label = _Label(_format_label(row), _pick_color(row), font)
        place = find_free_place(box, label.size, image_size, obstacles, gap)
        if place is not None:
            break
    return label, place


def _place_inside(box: Box, label: _Label, image_size: tuple[int, int]) -> Box:
    """The lower end of a box, inside the image."""
    width, height = label.size
    x = min(max(box[0], 0), max(image_size[0] - width, 0))
    y = max(min(box[3], image_size[1]) - height, 0)
    return x, y, x + width, y + height


def _add_strip(image: Image.Image, labels: Sequence[_Label]) -> Image.Image:
    """Append labels below an image, as many in a line as fit."""
    if not labels:
        return image

    # (label, x, y), line by line
    places, x, y, line_height = [], 0, image.height, 0
    for label in labels:
        width, height = label.size
        if x and x + width > image.width:
            x, y, line_height = 0, y + line_height + label.padding, 0
        places.append((label, x, y))
        x, line_height = x + width + label.padding, max(line_height, height)

    width = max(image.width, *(x + label.size[0] for label, x, _ in places))
    extended = Image.new("RGB", (width, y + line_height), LIGHT.surface)
    extended.paste(image)
    draw = ImageDraw.Draw(extended)
    for label, x, y in places:
        label.draw(draw, x, y)
    return extended


def _pick_color(row: FaceResult) -> str:
    """Color of the predicted class; gray if the prediction is withheld."""
    classes = list(row.probabilities)
    if row.label not in classes:
        return _WITHHELD_COLOR
    return class_colors(len(classes))[classes.index(row.label)]


def _format_label(row: FaceResult) -> str:
    """Text of a label, such as "2: happiness 93 %" or "not sure"."""
    text = row.verdict
    if row.label is not None:
        text += f" {100 * (row.confidence or 0):.0f} %"
    return text if row.track is None else f"{row.track}: {text}"


def _scale(box: Box, factor: int) -> Box:
    x0, y0, x1, y1 = box
    return x0 * factor, y0 * factor, x1 * factor, y1 * factor


def _side(box: Box) -> float:
    return max(box[2] - box[0], box[3] - box[1])


def _line_width(box: Box, image_size: tuple[int, int]) -> int:
    """Thin on small faces, visible on large images."""
    return max(1, round(min(_side(box) / 40, max(image_size) / 250)))


def _font_size(face_side: float, image_size: tuple[int, int]) -> int:
    low, high = (share * max(image_size) for share in _FONT_OF_IMAGE)
    return max(_MIN_FONT, round(min(max(_FONT_OF_FACE * face_side, low), high)))


@lru_cache(maxsize=16)
def _load_font(size: int) -> Any:
    return ImageFont.load_default(size)
