"""`ke2nt predict`."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ke2nt.checkpoints.find_model import is_onnx_name
from ke2nt.cli.names import check_detector_name, check_files, check_model_name, no_input
from ke2nt.cli.option_groups import with_option_groups
from ke2nt.cli.option_values import check_writable
from ke2nt.cli.options import (
    BatchSizeOption,
    DetectorOption,
    DeviceOption,
    NoDetectFlag,
    OutputOptions,
    PriorOption,
    TextEncoderOption,
)
from ke2nt.cli.output import print_unreadable
from ke2nt.cli.prediction_tables import (
    MAX_ROWS,
    open_json_document,
    show_faces,
    show_written,
    summarize,
)
from ke2nt.errors import CheckpointError, ConfigError, DataError, ImageReadError
from ke2nt.resources import list_resources

if TYPE_CHECKING:
    from ke2nt.predict.recognizer import Recognizer
    from ke2nt.predict.result import FaceResult
    from ke2nt.predict.stream import Totals
    from ke2nt.prompts.prompt_set import PromptSet

__all__ = ["predict"]


class _Engine(StrEnum):
    torch = "torch"
    onnx = "onnx"


@dataclass(frozen=True)
class _ModelOptions:
    """Which model, and how its answers are made."""

    model: Annotated[
        str,
        typer.Option(
            "--model",
            "-m",
            help="A model of the package, a folder, a run directory, a hub id, or an ONNX file.",
        ),
    ] = "ke2nt/ferplus-faces"
    classes: Annotated[
        str | None,
        typer.Option(
            "--classes",
            help="Any words in place of the model's classes, such as 'bored,confused,in pain', or "
            "a prompt set: a shipped name or a YAML file.",
        ),
    ] = None
    text_encoder: TextEncoderOption = None
    prior: PriorOption = None
    neutral: Annotated[
        Path | None,
        typer.Option("--neutral", help="A neutral photo of the person, to measure intensity from."),
    ] = None
    min_confidence: Annotated[
        float | None,
        typer.Option(
            "--min-confidence",
            min=0,
            max=1,
            help="Withhold predictions below this probability. Default: as stored with the model.",
        ),
    ] = None
    min_face_score: Annotated[
        float,
        typer.Option(
            "--min-face-score", min=0, max=1, help="Ignore detections with a lower score."
        ),
    ] = 0.0
    any_quality: Annotated[
        bool,
        typer.Option("--any-quality", help="Do not withhold dark, small and blurred faces."),
    ] = False
    any_face: Annotated[
        bool,
        typer.Option("--any-face", help="Do not withhold what does not look like a face."),
    ] = False
    align: Annotated[
        bool | None,
        typer.Option(
            "--align/--no-align",
            help="Turn tilted faces until their eyes are level. Default: as stored with the model.",
            show_default=False,
        ),
    ] = None
    engine: Annotated[
        _Engine | None,
        typer.Option(
            "--engine",
            help="torch, or onnx: ONNX Runtime, without torch once the model is exported. "
            "Default: torch; onnx for a model that is an .onnx file.",
        ),
    ] = None
    detector: DetectorOption = "centerface"
    no_detect: NoDetectFlag = False
    batch_size: BatchSizeOption = 32
    workers: Annotated[
        int | None,
        typer.Option(
            "--workers",
            min=1,
            help="Images and frames that are decoded and searched at the same time. Default: "
            "OMP_NUM_THREADS or the number of cores, at most 4.",
            show_default=False,
        ),
    ] = None
    device: DeviceOption = None

    def check(self) -> None:
        """Check all names.

        Raises:
            Ke2ntError: There is no such model, detector, prompt set or photo.
        """
        self._check_engine()
        if not self.no_detect:
            check_detector_name(self.detector)
        _read_classes(self.classes)
        if self.text_encoder is not None and self.classes is None:
            raise ConfigError("--text-encoder embeds the words of --classes, which is not given")
        if self.prior is not None and self.classes is not None:
            raise ConfigError("--prior belongs to the model's classes, not to those of --classes")
        if self.neutral is not None and not self.neutral.is_file():
            raise ImageReadError(
                "the neutral photo cannot be read", where=self.neutral, found="no such file"
            )

    def _check_engine(self) -> None:
        """Check the model's name and what its engine does not do."""
        is_file = is_onnx_name(self.model)
        if is_file and self.engine is _Engine.torch:
            raise ConfigError("--engine torch does not run ONNX files", found=self.model)
        if is_file and not Path(self.model).expanduser().is_file():
            raise CheckpointError("no such ONNX file", where=self.model)
        if not is_file:
            check_model_name(self.model)

        if (is_file or self.engine is _Engine.onnx) and self.classes is not None:
            raise ConfigError(
                "the engine onnx has the class texts of its file, and takes no --classes",
                hint="Leave out --engine onnx, and name the model, not its ONNX file.",
            )

    def load(self) -> Recognizer:
        """Return the recognizer."""
        from ke2nt.predict.recognizer import Recognizer

        # the neutral photo needs the model, and comes after it
        recognizer = Recognizer.from_pretrained(
            self.model,
            detector=None if self.no_detect else self.detector,
            device=self.device,
            batch_size=self.batch_size,
            classes=_read_classes(self.classes),
            min_confidence=self.min_confidence,
            min_face_score=self.min_face_score,
            check_quality=not self.any_quality,
            check_faces=not self.any_face,
            align=self.align,
            prior=self.prior,
            text_encoder=self.text_encoder,
            workers=self.workers,
            engine=None if self.engine is None else self.engine.value,
        )
        if self.neutral is not None:
            recognizer.set_neutral(self.neutral)
        return recognizer


@dataclass(frozen=True)
class _VideoOptions:
    """How videos and cameras are read."""

    every: Annotated[
        int, typer.Option("--every", min=1, help="Use only every N-th video frame.")
    ] = 1
    limit: Annotated[
        int | None,
        typer.Option("--limit", min=1, help="Maximum number of frames of a video or camera."),
    ] = None
    smoothing: Annotated[
        float, typer.Option("--smoothing", min=0, help="Seconds of smoothing along a track.")
    ] = 0.5
    detect_every: Annotated[
        int,
        typer.Option(
            "--detect-every",
            min=1,
            help="Search every N-th used video frame for faces; between two of them faces move "
            "along a line.",
        ),
    ] = 1

    def check(self, *, no_detect: bool) -> None:
        """Check that there is a detector to run less often.

        Raises:
            ConfigError: There is none.
        """
        if no_detect and self.detect_every > 1:
            raise ConfigError(
                "--detect-every has no meaning with --no-detect, as each frame is one face",
                found=f"--detect-every {self.detect_every}",
            )


@dataclass(frozen=True)
class _FileOptions:
    """What is written."""

    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", help="Table of all rows: .csv, .jsonl or .parquet."),
    ] = None
    annotate: Annotated[
        Path | None,
        typer.Option(
            "--annotate", callback=check_writable, help="Folder for annotated images and videos."
        ),
    ] = None
    timeline: Annotated[
        Path | None,
        typer.Option(
            "--timeline", callback=check_writable, help="Folder for a timeline plot of each video."
        ),
    ] = None

    def check(self, inputs: Sequence[str]) -> None:
        """Check the table's name.

        Raises:
            ConfigError: Its format is unknown, or it would replace an input or is another output.
        """
        from ke2nt.predict.table_writers import check_table_path

        if self.out is None:
            return
        check_table_path(self.out)
        if self.out.resolve() in (Path(path).resolve() for path in inputs):
            raise ConfigError("the table would replace an input file", found=self.out)
        for option, folder in (("--annotate", self.annotate), ("--timeline", self.timeline)):
            if folder is not None and folder.resolve() == self.out.resolve():
                raise ConfigError(
                    f"--out and {option} have the same name",
                    expected="a table, and a folder of another name",
                    found=self.out,
                )


@with_option_groups
def predict(
    paths: Annotated[
        list[str],
        typer.Argument(
            metavar="PATH...",
            help="Images, videos, folders, patterns such as '*.jpg', or the number of a camera.",
        ),
    ],
    model: _ModelOptions,
    video: _VideoOptions,
    files: _FileOptions,
    output: OutputOptions,
) -> None:
    """Find faces and recognize their expressions, in images, videos or a camera stream.

    A file or frame that is unreadable or has no face gets a row that says so; the others are still
    processed. The exit code is 2 only if nothing at all could be read.

    Example: ke2nt predict photo.jpg holiday/ talk.mp4 --out faces.csv --annotate seen
    """
    # names are checked before torch is imported
    files.check(paths)
    video.check(no_detect=model.no_detect)
    model.check()
    if not output.json:  # a document has a row for what cannot be read
        check_files(paths)
    recognizer = model.load()
    results = _predict(paths, model.model, recognizer, video, files, output)
    totals = results.totals
    if not totals.read:
        raise _nothing_read(paths, totals)

    if not output.json:
        show_faces(results.first_rows, totals, recognizer)
    table = [] if files.out is None else [files.out]
    show_written([*table, *results.written], to_stderr=output.json)
    print(summarize(totals, recognizer), file=sys.stderr)
    print_unreadable(totals.unreadable)


@dataclass
class _Results:
    """Counts of everything, the rows to show on the terminal (all, or one more than fit), and the
    annotated files.
    """

    totals: Totals
    first_rows: list[FaceResult] = field(default_factory=list)
    written: list[Path] = field(default_factory=list)


def _predict(
    paths: Sequence[str],
    name: str,
    recognizer: Recognizer,
    video: _VideoOptions,
    files: _FileOptions,
    output: OutputOptions,
) -> _Results:
    """Predict all inputs; rows go to the files and to the JSON document as they come."""
    from ke2nt.predict.annotated_files import AnnotationWriter
    from ke2nt.predict.stream import Totals, predict_paths
    from ke2nt.predict.table_writers import DeferredTable
    from ke2nt.runtime.progress import track

    results = _Results(Totals())
    classes = recognizer.classes
    with ExitStack() as open_files:
        table: Any = None
        if files.out is not None:
            table = open_files.enter_context(DeferredTable(files.out, classes))

        # files are opened when the first row comes, and an older one is kept if none does
        annotations = open_files.enter_context(
            AnnotationWriter(classes, annotated=files.annotate, timelines=files.timeline)
        )
        results.written = annotations.written
        write_json_row: Any = None
        if output.json:
            document = open_json_document(name, recognizer, results.totals)
            write_json_row = open_files.enter_context(document)

        # rows are written as they come: a long video may be interrupted
        stream = predict_paths(
            recognizer,
            paths,
            results.totals,
            every=video.every,
            limit=video.limit,
            smoothing=video.smoothing,
            detect_every=video.detect_every,
        )
        for kind, result in track(stream, "predicting", quiet=output.hides_progress):
            annotations.add(kind, result)
            for row in result.rows:
                if table is not None:
                    table.write(row)
                if write_json_row is not None:
                    write_json_row(row)
                elif len(results.first_rows) <= MAX_ROWS:
                    results.first_rows.append(row)
    return results


def _read_classes(text: str | None) -> Sequence[str] | PromptSet | None:
    """Read --classes: a prompt set by file or name, or words separated by commas."""
    if text is None:
        return None
    if text.lower().endswith((".yaml", ".yml")) or text in list_resources("prompts"):
        from ke2nt.prompts.prompt_set import PromptSet

        return PromptSet.load(text)

    # a single word would be an answer without alternative
    words = [" ".join(word.split()) for word in text.split(",")]
    if not all(words) or len(words) < 2:
        raise ConfigError(
            "--classes is not valid",
            expected="two or more words separated by commas, a prompt set or its YAML file",
            found=repr(text),
        )

    # one prompt for each word is enough to tell that they differ
    from ke2nt.prompts.prompt_set import PromptSet

    PromptSet.from_words(words)
    return words


def _nothing_read(paths: Sequence[str], totals: Totals) -> DataError:
    if not totals.frames:
        return no_input(paths)
    reasons = [f"{name}: {reason}" for name, reason in totals.unreadable[:3]]
    return DataError("nothing could be read", found="; ".join(reasons))
