"""`ke2nt gan pretrain|train|sample|edit|quality`."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ke2nt.cli.options import (
    DatasetOption,
    LimitOption,
    QuietFlag,
    ReaderOptions,
    RootOption,
    RuleOption,
    SeedOption,
    SplitOption,
    reader_options,
    resumed_alone,
    spread,
)
from ke2nt.cli.output import JsonFlag, print_json, print_line, print_table, resumable
from ke2nt.errors import ConfigError, DataError
from ke2nt.runtime.formatting import percent

if TYPE_CHECKING:
    from ke2nt.config.gan import FesganConfig

__all__ = ["app"]

app = typer.Typer(
    help="Synthesis: make and edit faces, and learn recognition with them.", no_args_is_help=True
)

ConfigArgument = Annotated[
    str | None, typer.Argument(help="A YAML file or the name of a shipped configuration.")
]
OverridesArgument = Annotated[
    list[str] | None, typer.Argument(help="key=value, such as gan.optim.epochs=50")
]
OutOption = Annotated[
    Path | None, typer.Option("--out", help="Run directory; otherwise the configuration's.")
]
ResumeOption = Annotated[
    Path | None, typer.Option("--resume", help="Go on with the run in this directory.")
]
GeneratorArgument = Annotated[
    Path, typer.Argument(metavar="RUN", help="A run of `ke2nt gan`, or a generator's folder.")
]
FolderOption = Annotated[Path, typer.Option("--out", help="New or empty folder.")]


def _settings(
    config: str | None,
    overrides: list[str] | None,
    out: Path | None,
    resume: Path | None,
    command: str,
) -> FesganConfig:
    from ke2nt.config.gan import FesganConfig
    from ke2nt.config.load import load_config
    from ke2nt.training.run_directory import RunDirectory

    if (config is None) == (resume is None):
        raise ConfigError(
            "name a configuration, or a run to resume",
            hint=f"Type: {command} CONFIG [key=value …], or {command} --resume RUN",
        )
    if resume is not None:
        resumed_alone(command, resume, {"--out": out})
        place = resume if RunDirectory(resume).exists else resume / "synthesis"
        settings = RunDirectory(place).load_config(FesganConfig)
        return settings.model_copy(update={"out": str(resume)})
    assert config is not None
    settings = load_config(config, overrides or [], FesganConfig)
    return settings if out is None else settings.model_copy(update={"out": str(out)})


@app.command()
def pretrain(
    config: ConfigArgument = None,
    overrides: OverridesArgument = None,
    out: OutOption = None,
    resume: ResumeOption = None,
    quiet: QuietFlag = False,
    json: JsonFlag = False,
) -> None:
    """Train a generator of faces: stage 1.

    Example: ke2nt gan pretrain fesgan_drawn
    """
    command = "ke2nt gan pretrain"
    settings = _settings(config, overrides, out, resume, command)
    from ke2nt.generation.train_generator import pretrain as run_pretraining

    with resumable(command, settings.out):
        result = run_pretraining(
            settings,
            resume=resume is not None,
            quiet=quiet or json,
            command=shlex.join(["ke2nt", *sys.argv[1:]]),
        )
    last = result.progress.records[-1]
    if json:
        print_json({"run": str(result.run.path), **last})
        return
    print_line(
        f"{last['epoch']} epochs; new faces differ by {last['diversity']:.2f} of what real ones do"
    )
    print_line(f"run: {result.run.path}   pictures: {result.run.path / 'samples'}")


@app.command()
def train(
    config: ConfigArgument = None,
    overrides: OverridesArgument = None,
    out: OutOption = None,
    resume: ResumeOption = None,
    quiet: QuietFlag = False,
    json: JsonFlag = False,
) -> None:
    """Train a generator, then a recognizer jointly with it: both stages.

    Example: ke2nt gan train fesgan_ferplus data.root=DIR
    """
    command = "ke2nt gan train"
    settings = _settings(config, overrides, out, resume, command)
    from ke2nt.generation.train_jointly import train as run_training

    with resumable(command, settings.out):
        result = run_training(
            settings,
            resume=resume is not None,
            quiet=quiet or json,
            command=shlex.join(["ke2nt", *sys.argv[1:]]),
        )
    if json:
        print_json({"run": str(result.run.path), **result.evaluation.to_dict()})
        return
    report, split = result.evaluation.report, result.data.val.split
    print_line(
        f"{split.dataset} {split.split}: accuracy {percent(report.accuracy, 2)}, "
        f"UAR {percent(report.uar, 2)}, macro-F1 {percent(report.macro_f1, 2)} "
        f"on {report.n} images"
    )
    print_line(f"run: {result.run.path}   report: {result.run.report}")


@app.command()
def sample(
    run: GeneratorArgument,
    out: FolderOption,
    count: Annotated[int, typer.Option("--count", min=1, help="Faces.")] = 800,
    seed: SeedOption = 0,
    judge: Annotated[
        str | None, typer.Option("--judge", help="Keep what this recognizer agrees with.")
    ] = None,
    min_confidence: Annotated[
        float, typer.Option("--min-confidence", min=0.0, max=0.99, help="How sure it must be.")
    ] = 0.5,
    json: JsonFlag = False,
) -> None:
    """Write new faces as a labeled image folder; the same seed gives the same files.

    Example: ke2nt gan sample RUN --out faces --count 400
    """
    from ke2nt.generation.networks.confidence_filter import ConfidenceFilter
    from ke2nt.generation.networks.generator import FaceGenerator
    from ke2nt.generation.networks.sample_faces import write_synthetic_faces
    from ke2nt.models.load import load_model

    generator = FaceGenerator.load(run)
    accept = None
    facts = {}
    if judge is not None:
        accept = ConfidenceFilter(load_model(judge), generator.classes, min_confidence)
        facts = {"judge": judge, "min_confidence": min_confidence}
    summary = write_synthetic_faces(out, generator, count, seed, accept=accept, facts=facts)
    if json:
        print_json(summary)
        return
    print_table(["expression", "n faces"], list(summary["classes"].items()))
    print_line(f"faces: {out}   read them with: ke2nt data info folder {out}")


@app.command()
def edit(
    run: GeneratorArgument,
    images: Annotated[list[Path], typer.Argument(help="Pictures of one face each, cropped.")],
    out: FolderOption,
    json: JsonFlag = False,
) -> None:
    """Show faces with every expression that the generator knows.

    Example: ke2nt gan edit RUN face.png --out edits
    """
    from ke2nt.errors import ImageReadError
    from ke2nt.generation.edit_faces import write_edits
    from ke2nt.generation.networks.generator import FaceGenerator

    written, failed = write_edits(FaceGenerator.load(run), images, out)
    for name, reason in failed.items():
        print(f"unreadable: {name}: {reason}", file=sys.stderr)
    if not written:
        raise ImageReadError("no picture can be read", found="; ".join(failed.values()))
    if json:
        print_json({"out": str(out), "written": written, "unreadable": failed})
        return
    print_line(f"{len(written)} pictures and grid.png in {out}")


@app.command()
def quality(
    run: GeneratorArgument,
    dataset: DatasetOption,
    judge: Annotated[
        str, typer.Option("--judge", help="A recognizer that took no part in the training.")
    ] = "ke2nt/ferplus-resnet18",
    split: SplitOption = "val",
    root: RootOption = None,
    rule: RuleOption = None,
    option: ReaderOptions = None,
    train_split: Annotated[
        str, typer.Option("--train-split", help="What it was trained on, to look for copies.")
    ] = "train",
    count: Annotated[int, typer.Option("--count", min=16, help="New faces.")] = 1000,
    limit: LimitOption = None,
    seed: SeedOption = 0,
    json: JsonFlag = False,
) -> None:
    """Judge what a generator makes: FID, KID, expressions, identity, diversity, copies.

    Example: ke2nt gan quality RUN --dataset ferplus --root DIR --rule majority
    """
    from ke2nt.datasets.catalog import get_reader
    from ke2nt.generation.evaluate_generator import evaluate_generator
    from ke2nt.generation.networks.generator import FaceGenerator
    from ke2nt.models.load import load_model

    reader = get_reader(dataset, root, reader_options(option, rule))
    if split == train_split:
        raise DataError("faces to compare with must be others than those learned from", found=split)
    figures = evaluate_generator(
        FaceGenerator.load(run),
        load_model(judge),
        real=spread(reader.load(split), limit),
        training=spread(reader.load(train_split), limit),
        count=count,
        seed=seed,
    )
    if json:
        print_json({"run": str(run), "judge": judge, **figures})
        return
    print_table(["figure", "value #"], [[k, f"{v:.4g}"] for k, v in figures.items()])
