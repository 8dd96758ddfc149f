"""The lab's results as HTML. Everything that somebody typed is escaped."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from html import escape
from pathlib import Path

import numpy as np

from ke2nt.app.face_embedder import EmbeddedFace
from ke2nt.app.face_match import FaceMatch
from ke2nt.app.prompt_trials import PromptSetScore, Trial
from ke2nt.data.images import decode
from ke2nt.evaluation.metrics import Interval
from ke2nt.explain.overlay import tint
from ke2nt.labels import NEUTRAL
from ke2nt.plots.figure import encode_png
from ke2nt.promptlab.text_geometry import Geometry

__all__ = ["STYLE", "faces_html", "note_html", "trial_html"]

STYLE = Path(__file__).with_name("style.css")
_SIDE = 224


def note_html(text: str, *, kind: str = "hint") -> str:
    """A line of text: a "hint", a "warning" or an "error"."""
    role = "alert" if kind == "error" else "status"
    return f'<p class="ke-note ke-{kind}" role="{role}">{escape(text)}</p>'


def faces_html(
    faces: Sequence[EmbeddedFace],
    readings: Sequence[FaceMatch],
    *,
    left_out: int,
    unvalidated: bool,
) -> str:
    """A card for each face: its crop, what the answer rests on, and a bar for each class.

    Args:
        faces: Faces of a picture.
        readings: What the model says of each.
        left_out: Faces of the picture that are not shown.
        unvalidated: Whether the model was never tested on these words.
    """
    parts = [_card(face, reading) for face, reading in zip(faces, readings, strict=True)]
    if unvalidated:
        text = "These words are your own: the model was never tested on them."
        parts.insert(0, note_html(text, kind="warning"))
    if left_out:
        what = "face is" if left_out == 1 else "faces are"
        parts.append(note_html(f"{left_out} smaller {what} not shown."))
    return f'<div class="ke-faces">{"".join(parts)}</div>'


def trial_html(trial: Trial) -> str:
    """A table of scores, then the similarity map of each prompt set."""
    several = "s" if len(trial.scores) > 1 else ""
    labels = "" if trial.labels == "label sets agree" else f" Labels: {escape(trial.labels)}."
    rows = "".join(_score_row(score, best=score is trial.scores[0]) for score in trial.scores)
    maps = "".join(_map(score) for score in trial.scores)
    return (
        f'<div class="ke-trial"><p class="ke-lead">{trial.images:,} images, '
        f"{len(trial.classes)} classes.{labels} Thin lines are 95 % intervals.</p>"
        '<div class="ke-scroll"><table class="ke-scores"><thead><tr><th>prompt set</th>'
        "<th>prompts</th><th>WAR</th><th>UAR</th></tr></thead>"
        f"<tbody>{rows}</tbody></table></div>"
        f'<h3>Similarity map{several}</h3><p class="ke-lead">How alike the text makes two classes '
        "(cosine): the darker a pair, the harder it is to tell apart.</p>"
        f'<div class="ke-maps">{maps}</div></div>'
    )


def _card(face: EmbeddedFace, reading: FaceMatch) -> str:
    name, target = reading.classes[reading.best], reading.classes[reading.target]
    percent = _percent(reading.probabilities[reading.best])
    answer = (
        f'<p class="ke-answer">{escape(name)} <small>{percent}</small></p>'
        if reading.sure
        else f'<p class="ke-answer ke-unsure">not sure <small>{escape(name)}, {percent}</small></p>'
    )
    crop = _picture(decode(face.crop, size=_SIDE), "The face as the model sees it")
    overlay = _picture(tint(face.crop, reading.effect, _SIDE), f"What speaks for {target}")
    return (
        f'<article class="ke-face"><div class="ke-pictures">'
        f"<figure>{crop}<figcaption>what the model sees</figcaption></figure>"
        f"<figure>{overlay}<figcaption>what speaks <b>for</b> and <i>against</i> "
        f"“{escape(target)}”</figcaption></figure></div>"
        f'<div class="ke-words">{answer}{_intensity(reading)}{_bars(reading)}</div></article>'
    )


def _intensity(reading: FaceMatch) -> str:
    name = reading.classes[reading.best]
    if reading.intensities is None or name == NEUTRAL:
        return ""
    value = _signed(reading.intensities[reading.best])
    unit = "0 is neutral, 1 typical" if reading.scaled else "raw, no scale is known"
    return f'<p class="ke-intensity">intensity <b>{value}</b> · {unit}</p>'


def _bars(reading: FaceMatch) -> str:
    rows = []
    for index, name in enumerate(reading.classes):
        value = reading.probabilities[index]
        best = ' class="ke-best"' if index == reading.best else ""
        moved = "" if reading.intensities is None else _signed(reading.intensities[index])
        rows.append(
            f'<tr{best}><th scope="row">{escape(name)}</th>'
            f'<td class="ke-bar"><span style="width:{100 * value:.2f}%"></span></td>'
            f'<td class="ke-number">{_percent(value)}</td>'
            f'<td class="ke-number ke-muted">{moved}</td></tr>'
        )
    column = "" if reading.intensities is None else "intensity"
    return (
        '<table class="ke-bars"><thead><tr><th>class</th><th class="ke-bar"></th>'
        f'<th class="ke-number">probability</th><th class="ke-number">{column}</th></tr></thead>'
        f"<tbody>{''.join(rows)}</tbody></table>"
    )


def _score_row(score: PromptSetScore, *, best: bool) -> str:
    metrics = score.metrics
    war = _range(metrics.accuracy, metrics.intervals.get("accuracy"))
    uar = _range(metrics.uar, metrics.intervals.get("uar"))
    kind = ' class="ke-best"' if best else ""
    return (
        f'<tr{kind}><th scope="row">{escape(score.name)}</th>'
        f'<td class="ke-number">{score.prompts}</td><td>{war}</td><td>{uar}</td></tr>'
    )


def _range(value: float, interval: Interval | None) -> str:
    low, high = interval or (value, value)
    return (
        f'<span class="ke-value">{_percent(value)}</span><span class="ke-range" '
        f'title="{_percent(low)} to {_percent(high)}"><span style="width:{100 * value:.2f}%">'
        f'</span><i style="left:{100 * low:.2f}%;width:{100 * (high - low):.2f}%"></i></span>'
    )


def _map(score: PromptSetScore) -> str:
    found = score.geometry
    names = [c.name for c in found.classes]
    head = "".join(f'<th scope="col"><span>{escape(name)}</span></th>' for name in names)
    rows = "".join(
        f'<tr><th scope="row">{escape(name)}</th>{_cells(found, index)}</tr>'
        for index, name in enumerate(names)
    )
    return (
        f'<figure class="ke-map"><figcaption>{escape(score.name)}</figcaption>'
        f'<div class="ke-scroll"><table><thead><tr><td></td>{head}</tr></thead>'
        f"<tbody>{rows}</tbody></table></div></figure>"
    )


def _cells(found: Geometry, row: int) -> str:
    cosines = found.similarity
    off = cosines[~np.eye(len(cosines), dtype=bool)]
    low, high = (float(off.min()), float(off.max())) if off.size else (0.0, 1.0)
    cells = []
    for column, value in enumerate(cosines[row]):
        if row == column:
            cells.append('<td class="ke-self"></td>')
            continue
        share = (value - low) / ((high - low) or 1)
        dark = ' class="ke-dark"' if share > 0.8 else ""
        text = f"{value:.2f}".replace("0.", ".", 1)
        cells.append(f'<td{dark} style="--share:{100 * share:.0f}%">{text}</td>')
    return "".join(cells)


def _picture(pixels: np.ndarray, alt: str) -> str:
    data = base64.b64encode(encode_png(pixels)).decode()
    return f'<img src="data:image/png;base64,{data}" alt="{escape(alt)}">'


def _percent(value: float) -> str:
    return f"{100 * value:.1f}\N{NO-BREAK SPACE}%"


def _signed(value: float) -> str:
    """Two digits behind the point, fewer for large numbers; no sign before a zero."""
    digits = 2 if abs(value) < 10 else 0
    text = f"{value:+,.{digits}f}".replace("-", "\N{MINUS SIGN}")
    return text[1:] if abs(value) < 0.005 else text
