"""Recognized faces as a table, as one JSON document, and in one sentence."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ke2nt.cli.output import print_line, print_table
from ke2nt.runtime.formatting import percent_cell, printable

if TYPE_CHECKING:
    from ke2nt.predict.recognizer import Recognizer
    from ke2nt.predict.result import FaceResult
    from ke2nt.predict.stream import Totals

__all__ = ["MAX_ROWS", "open_json_document", "show_faces", "show_written", "summarize"]

MAX_ROWS = 50  # of the table on the terminal; with more faces, it only counts them

_WITHHELD = ("low_confidence", "poor_quality", "not_a_face")
_NAMES = {
    "low_confidence": "withheld",
    "poor_quality": "withheld as dark, small or blurred",
    "not_a_face": "not a face",
    "no_face": "without a face",
    "unreadable": "unreadable",
}


@contextmanager
def open_json_document(
    model: str, recognizer: Recognizer, totals: Totals
) -> Iterator[Callable[[FaceResult], None]]:
    """Print one JSON document on stdout whose rows appear as they come.

    Args:
        model: Name of the model.
        recognizer: The recognizer.
        totals: Counts, printed at the end of the document.

    Yields:
        A function that prints a row.
    """
    calibration, classes = recognizer.model.calibration, recognizer.classes
    facts = {
        "model": model,
        "classes": list(classes),
        "unvalidated": recognizer.unvalidated,
        "calibrated": calibration is not None and calibration.is_fitted,
        "min_confidence": recognizer.min_confidence,
        "class_min_confidence": dict(zip(classes, recognizer.thresholds, strict=True)),
        "prior": dict(calibration.prior) if calibration is not None else {},
    }
    print(_to_json(facts)[:-1] + ', "faces": [', end="")
    comma = ""

    def write(row: FaceResult) -> None:
        nonlocal comma
        print(f"{comma}\n{_to_json(row.to_dict())}", end="")
        comma = ","

    # an error closes the document, too, so that its rows can be read
    try:
        yield write
    finally:
        print(f'\n], "summary": {_to_json(totals.to_dict())}}}', flush=True)


def _to_json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, allow_nan=False)


def show_faces(rows: list[FaceResult], totals: Totals, recognizer: Recognizer) -> None:
    """Print every face, or if there are too many of them, how many have each expression."""
    if recognizer.unvalidated:
        print_line("These classes are unvalidated: the model was never tested on them.")
    if len(rows) > MAX_ROWS:
        counts = [[name, totals.labels[name]] for name in recognizer.classes]
        withheld = sum(totals.rows[status] for status in _WITHHELD)
        counts += [["(withheld)", withheld]] if withheld else []
        print_table(["expression", "n faces"], counts)
        return

    # images have no frame, time or track
    has_video = any(row.frame is not None for row in rows)
    columns = ["file"]
    if has_video:
        columns += ["frame#", "time s#", "person#"]
    columns += ["face at", "expression", "confidence %"]

    # custom classes and models without a scale have intensities of another kind
    has_scale = not any(row.unscaled_intensity is not None for row in rows)
    columns.append("intensity#" if has_scale else "unscaled intensity#")
    print_table(columns, [_face_cells(row, has_video, has_scale) for row in rows])


def _face_cells(row: FaceResult, has_video: bool, has_scale: bool) -> list[str]:
    cells = [row.source]
    if has_video:
        cells += [_number(row.frame), _number(row.time, 2), _number(row.track)]
    return [
        *cells,
        "" if row.box is None else "{:.0f}, {:.0f} to {:.0f}, {:.0f}".format(*row.box),
        _expression(row),
        "" if row.confidence is None else percent_cell(row.confidence, 0),
        _number(row.intensity if has_scale else row.unscaled_intensity, 2),
    ]


def _expression(row: FaceResult) -> str:
    if row.status == "unreadable":
        return f"unreadable: {row.reason}"
    if row.status == "not_a_face":
        return row.verdict
    if row.status in _WITHHELD:
        likeliest = max(row.probabilities, key=lambda name: row.probabilities[name])
        return f"{row.verdict} (perhaps {likeliest})"
    return f"{row.verdict} ({row.reason})" if row.status == "ok" and row.reason else row.verdict


def _number(value: float | None, digits: int = 0) -> str:
    """Format a number without a minus sign before zero, or nothing for None."""
    return "" if value is None else f"{round(value, digits) + 0.0:.{digits}f}"


def show_written(paths: Sequence[Path], *, to_stderr: bool) -> None:
    """Print every file that was written."""
    for path in paths:
        line = f"written: {printable(str(path))}"
        if to_stderr:
            print(line, file=sys.stderr)
        else:
            print_line(line)


def summarize(totals: Totals, recognizer: Recognizer) -> str:
    """Return what was read and recognized, in one sentence."""
    # "3 images, 1 video (9 frames): 8 faces, 1 unreadable"
    sources = ", ".join(_count(count, kind) for kind, count in totals.sources.items())
    if set(totals.sources) != {"image"}:
        sources += f" ({totals.frames} frames)"

    parts = [_count(totals.faces, "face")]
    for status, words in _NAMES.items():
        count = totals.rows[status]
        if not count:
            continue
        below = f" below {_describe_thresholds(recognizer)}" if status == "low_confidence" else ""
        parts.append(f"{count} {words}{below}")
    return f"{sources}: {', '.join(parts)}"


def _describe_thresholds(recognizer: Recognizer) -> str:
    """The threshold, or the range of those of the classes."""
    low, high = min(recognizer.thresholds), max(recognizer.thresholds)
    return f"{low:.2f}" if low == high else f"{low:.2f} to {high:.2f}, by class"


def _count(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"
