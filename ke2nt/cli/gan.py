"""`ke2nt gan pretrain | train | sample | edit | quality`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ke2nt.cli.names import check_files, check_model_name
from ke2nt.cli.option_groups import with_option_groups
from ke2nt.cli.options import (
    DatasetOptions,
    JsonFlag,
    OutputOptions,
    SeedOption,
    SplitOption,
)
from ke2nt.cli.output import (
    command_line,
    print_json,
    print_line,
    print_table,
    print_unreadable,
    resumable,
)
from ke2nt.cli.run_options import RunOptions
from ke2nt.errors import DataError
from ke2nt.runtime.atomic import check_folder
from ke2nt.runtime.formatting import percent

if TYPE_CHECKING:
    from ke2nt.config.gan import FesganConfig

__all__ = ["app"]

app = typer.Typer(
    help="Generate and edit faces, and train a recognizer with them.", no_args_is_help=True
)

_GeneratorArgument = Annotated[
    Path, typer.Argument(metavar="RUN", help="A run of `ke2nt gan`, or a generator's folder.")
]
_FolderOption = Annotated[Path, typer.Option("--out", help="New or empty folder.")]


@dataclass(frozen=True)
class _GanRunOptions(RunOptions):
    overrides: Annotated[
        list[str] | None, typer.Argument(help="key=value, such as gan.optim.epochs=50")
    ] = None


@dataclass(frozen=True)
class _RealFaces(DatasetOptions):
    split: SplitOption = "val"


@app.command()
@with_option_groups
def pretrain(run: _GanRunOptions, output: OutputOptions) -> None:
    """Train a generator of faces: stage 1.

    Example: ke2nt gan pretrain fesgan_drawn
    """
    config, command = _load_config(run, "gan pretrain"), "ke2nt gan pretrain"
    from ke2nt.generation.train_generator import pretrain as pretrain_generator

    with resumable(command, config.out):
        result = pretrain_generator(
            config, resume=run.is_resumed, quiet=output.hides_progress, command=command_line()
        )

    # the last epoch speaks for the run: there is no validation accuracy to choose by
    last = result.progress.records[-1]
    if output.json:
        print_json({"run": str(result.run.path), **last})
        return
    print_line(
        f"{last['epoch']} epochs; synthetic faces have {percent(last['diversity'], 0)} of the "
        "diversity of real ones"
    )
    print_line(f"run: {result.run.path}   images: {result.run.path / 'samples'}")


@app.command()
@with_option_groups
def train(run: _GanRunOptions, output: OutputOptions) -> None:
    """Train a generator, then a recognizer jointly with it: both stages.

    Example: ke2nt gan train fesgan_ferplus data.root=DIR
    """
    config, command = _load_config(run, "gan train"), "ke2nt gan train"
    from ke2nt.generation.train_jointly import train as train_jointly

    with resumable(command, config.out):
        result = train_jointly(
            config, resume=run.is_resumed, quiet=output.hides_progress, command=command_line()
        )

    # the recognizer is what the run is for; the generator has its own command
    report, split = result.evaluation.report, result.data.val.split
    if output.json:
        print_json({"run": str(result.run.path), **result.evaluation.to_dict()})
        return
    print_line(
        f"{split.dataset} {split.split}: accuracy {percent(report.accuracy, 2)}, "
        f"UAR {percent(report.uar, 2)}, macro-F1 {percent(report.macro_f1, 2)} "
        f"on {report.n} images"
    )
    print_line(f"run: {result.run.path}   report: {result.run.report}")


def _load_config(run: RunOptions, command: str) -> FesganConfig:
    """Return the configuration of a new run, or of the one to resume."""
    from ke2nt.config.gan import FesganConfig
    from ke2nt.config.load import load_config

    run.check(f"ke2nt {command}")
    if run.resume is None:
        assert run.config is not None
        config = load_config(run.config, run.all_overrides(), FesganConfig, command=command)
        from ke2nt.training.names import check_names

        check_names(config)
        return config

    # a joint run that stopped in its first stage has only the folder of that stage
    from ke2nt.training.run_directory import RunDirectory

    folder = run.resume if RunDirectory(run.resume).exists else run.resume / "synthesis"
    config = RunDirectory(folder).load_config(FesganConfig)
    return config.model_copy(update={"out": str(run.resume)})


@app.command()
@with_option_groups
def sample(
    run: _GeneratorArgument,
    out: _FolderOption,
    output: OutputOptions,
    count: Annotated[int, typer.Option("--count", min=1, help="Number of faces.")] = 800,
    seed: SeedOption = 0,
    judge: Annotated[
        str | None, typer.Option("--judge", help="Keep only faces this recognizer agrees with.")
    ] = None,
    min_confidence: Annotated[
        float,
        typer.Option(
            "--min-confidence", min=0.0, max=0.99, help="Minimum confidence of the recognizer."
        ),
    ] = 0.5,
) -> None:
    """Write new faces as a labeled image folder; the same seed gives the same files.

    Example: ke2nt gan sample RUN --out faces --count 400
    """
    _check_generator(run)
    check_folder(out)
    if judge is not None:
        check_model_name(judge)

    from ke2nt.generation.networks.confidence_filter import ConfidenceFilter
    from ke2nt.generation.networks.generator import FaceGenerator
    from ke2nt.generation.networks.sample_faces import write_synthetic_faces
    from ke2nt.models.load import load_model

    generator = FaceGenerator.load(run)

    # without a judge every face is kept
    accept, facts = None, {}
    if judge is not None:
        accept = ConfidenceFilter(load_model(judge), generator.classes, min_confidence)
        facts = {"judge": judge, "min_confidence": min_confidence}
    summary = write_synthetic_faces(
        out, generator, count, seed, accept=accept, facts=facts, quiet=output.hides_progress
    )

    if output.json:
        print_json(summary)
        return
    print_table(["expression", "n faces"], list(summary["classes"].items()))
    print_line(f"faces: {out}   read them with: ke2nt data info folder {out}")


@app.command()
def edit(
    run: _GeneratorArgument,
    images: Annotated[list[Path], typer.Argument(help="Images of one face each, cropped.")],
    out: _FolderOption,
    json: JsonFlag = False,
) -> None:
    """Edit faces to every expression of the generator.

    Example: ke2nt gan edit RUN face.png --out edits
    """
    _check_generator(run)
    check_folder(out)
    check_files([str(image) for image in images])

    from ke2nt.errors import ImageReadError
    from ke2nt.generation.edit_faces import write_edits
    from ke2nt.generation.networks.generator import FaceGenerator

    # an unreadable image does not stop the others
    written, failed = write_edits(FaceGenerator.load(run), images, out)
    print_unreadable(failed)
    if not written:
        raise ImageReadError("no image can be read", found="; ".join(failed.values()))

    if json:
        print_json({"out": str(out), "written": written, "unreadable": failed})
        return
    print_line(f"edited {len(written)} faces: {out}   overview: {out / 'grid.png'}")


@app.command()
@with_option_groups
def quality(
    run: _GeneratorArgument,
    data: _RealFaces,
    output: OutputOptions,
    judge: Annotated[
        str, typer.Option("--judge", help="A recognizer that was not used in the training.")
    ] = "ke2nt/ferplus-faces",
    train_split: Annotated[
        str, typer.Option("--train-split", help="Training split, to look for copies.")
    ] = "train",
    count: Annotated[int, typer.Option("--count", min=16, help="Number of new faces.")] = 1000,
    seed: SeedOption = 0,
) -> None:
    """Measure a generator: FID, KID, expressions, identity, diversity, copies.

    Example: ke2nt gan quality RUN --dataset ferplus --root DIR --rule majority
    """
    if data.split == train_split:
        raise DataError("--split must differ from --train-split", found=f"{data.split} for both")
    _check_generator(run)
    check_model_name(judge)
    reader = data.open_reader()
    reader.check_split(train_split)

    from ke2nt.generation.evaluate_generator import evaluate_generator
    from ke2nt.generation.networks.generator import FaceGenerator
    from ke2nt.models.load import load_model

    # copies are searched for among the training faces, distances measured to the others
    metrics = evaluate_generator(
        FaceGenerator.load(run),
        load_model(judge),
        real=reader.load(data.split).spread(data.limit),
        training=reader.load(train_split).spread(data.limit),
        count=count,
        seed=seed,
        quiet=output.hides_progress,
    )

    if output.json:
        print_json({"run": str(run), "judge": judge, **metrics})
        return
    _print_quality(metrics)


def _check_generator(run: Path) -> None:
    """Check that a generator is there, before torch is imported to load it."""
    from ke2nt.generation.networks.find_generator import find_generator

    find_generator(run.expanduser())


def _print_quality(metrics: Mapping[str, Any]) -> None:
    """Print the metrics of all faces, then those of each expression."""
    values = [[name, f"{v:.4g}"] for name, v in metrics.items() if name != "per_expression"]
    print_table(["metric", "value #"], values)

    expressions = metrics["per_expression"]
    columns = list(next(iter(expressions.values())))
    rows = [
        [name, *("-" if value is None else f"{value:.3g}" for value in values.values())]
        for name, values in expressions.items()
    ]
    print_table(["expression", *(f"{column} #" for column in columns)], rows)
    if "identity_kept" not in metrics:
        print_line("identity in a face space: pip install 'ke2nt[faces]'")
