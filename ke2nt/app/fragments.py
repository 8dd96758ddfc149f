"""Results of the app as HTML fragments; the templates escape everything that was typed."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from ke2nt.app.face_embedder import EmbeddedFace
from ke2nt.app.face_match import FaceMatch
from ke2nt.app.prompt_trials import PromptSetScore, Trial
from ke2nt.data.images import decode
from ke2nt.explain.overlay import tint
from ke2nt.labels import NEUTRAL
from ke2nt.pages.render import render_template
from ke2nt.predict.detections import Box
from ke2nt.predict.pil_images import encode_jpeg, resize

__all__ = [
    "STYLE",
    "render_data_note",
    "render_faces",
    "render_header",
    "render_note",
    "render_photo",
    "render_trial",
]

STYLE = Path(__file__).with_name("style.css")

_MAX_PHOTO_SIDE = 900  # pixels of a photo on the page
_SIDE = 224  # pixels of a face on the page
_DARK_SHARE = 0.8  # cells darker than this have white text


def render_header(model: str) -> str:
    """Render the top of the page, with the name of the model."""
    return render_template("app_header.html.j2", model=model)


def render_data_note(title: str) -> str:
    """Render the note that names the dataset of the second tab."""
    return render_template("app_data.html.j2", title=title)


def render_note(text: str, *, kind: Literal["hint", "warning", "error"] = "hint") -> str:
    """Render a line of text."""
    return render_template("app_note.html.j2", text=text, kind=kind)


def render_faces(
    faces: Sequence[EmbeddedFace],
    matches: Sequence[FaceMatch],
    *,
    num_hidden: int,
    unvalidated: bool,
) -> str:
    """Render a card for each face: its crop, the evidence, and a bar for each class.

    Args:
        faces: Faces of an image.
        matches: How well each of them matches the classes.
        num_hidden: Number of faces of the image that are not shown.
        unvalidated: Whether the model was never tested on these words.
    """
    cards = [_Card.build(face, match) for face, match in zip(faces, matches, strict=True)]
    return render_template(
        "app_faces.html.j2",
        cards=cards,
        num_hidden=num_hidden,
        unvalidated=unvalidated,
        neutral=NEUTRAL,
        signed=_format_signed,
    )


def render_photo(pixels: np.ndarray, boxes: Sequence[Box]) -> str:
    """Render a photo with numbered boxes around its faces.

    Args:
        pixels: uint8 (H, W, 3) RGB.
        boxes: Faces in pixels, in the order of their numbers.
    """
    height, width = pixels.shape[:2]
    scale = min(1.0, _MAX_PHOTO_SIDE / max(height, width))
    size = max(1, round(scale * width)), max(1, round(scale * height))
    photo = base64.b64encode(encode_jpeg(resize(pixels, *size))).decode("ascii")

    # boxes in percent of the photo, cut at its border
    places = []
    for box in boxes:
        x0, x1 = (100 * min(max(x / width, 0.0), 1.0) for x in (box[0], box[2]))
        y0, y1 = (100 * min(max(y / height, 0.0), 1.0) for y in (box[1], box[3]))
        places.append({"left": x0, "top": y0, "width": x1 - x0, "height": y1 - y0})
    return render_template("app_photo.html.j2", photo=photo, places=places)


def render_trial(trial: Trial) -> str:
    """Render a table of scores, then the similarity map of each prompt set."""
    maps = [_SimilarityMap.build(score) for score in trial.scores]
    return render_template("app_trial.html.j2", trial=trial, maps=maps)


@dataclass(frozen=True, eq=False)
class _Card:
    """A face on the page: its match, and two uint8 images of it."""

    match: FaceMatch
    problems: tuple[str, ...]
    crop: np.ndarray
    overlay: np.ndarray

    @classmethod
    def build(cls, face: EmbeddedFace, match: FaceMatch) -> _Card:
        crop, overlay = decode(face.crop, size=_SIDE), tint(face.crop, match.effect, _SIDE)
        return cls(match, face.problems, crop, overlay)


@dataclass(frozen=True)
class _Cell:
    """A cosine on the page: its text, and how dark it is between the extremes of its map."""

    text: str
    percent: float
    dark: bool


@dataclass(frozen=True)
class _SimilarityMap:
    """Cosines of the classes of a prompt set, K rows of K cells; None on the diagonal."""

    name: str
    classes: list[str]
    rows: list[list[_Cell | None]]

    @classmethod
    def build(cls, score: PromptSetScore) -> _SimilarityMap:
        similarity = score.geometry.similarity
        num_classes = len(similarity)

        # the diagonal is always 1 and would make all other cells pale
        off_diagonal = similarity[~np.eye(num_classes, dtype=bool)]
        low, high = 0.0, 1.0
        if off_diagonal.size:
            low, high = float(off_diagonal.min()), float(off_diagonal.max())

        rows: list[list[_Cell | None]] = []
        for i in range(num_classes):
            cells = [_build_cell(float(value), low, high) for value in similarity[i]]
            rows.append([None if i == j else cell for j, cell in enumerate(cells)])
        return cls(score.name, [entry.name for entry in score.geometry.classes], rows)


def _build_cell(value: float, low: float, high: float) -> _Cell:
    share = (value - low) / ((high - low) or 1)
    text = f"{value:.2f}".replace("0.", ".", 1)
    return _Cell(text, 100 * share, share > _DARK_SHARE)


def _format_signed(value: float) -> str:
    """Two decimals, none for large numbers; no sign before a zero."""
    digits = 2 if abs(value) < 10 else 0
    text = f"{value:+,.{digits}f}".replace("-", "\N{MINUS SIGN}")
    return text[1:] if abs(value) < 0.005 else text
