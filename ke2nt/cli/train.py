"""`ke2nt train`."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import Annotated

import typer

from ke2nt.cli.options import resumed_alone, yaml_text
from ke2nt.cli.output import JsonFlag, print_json, print_line, resumable, silent
from ke2nt.errors import ConfigError
from ke2nt.runtime.formatting import percent

__all__ = ["train"]


def train(
    config: Annotated[
        str | None, typer.Argument(help="A YAML file or the name of a shipped configuration.")
    ] = None,
    overrides: Annotated[
        list[str] | None, typer.Argument(help="key=value, such as data.root=DIR optim.lr=0.05")
    ] = None,
    out: Annotated[
        Path | None, typer.Option("--out", help="Run directory; otherwise the configuration's.")
    ] = None,
    resume: Annotated[
        Path | None, typer.Option("--resume", help="Go on with the run in this directory.")
    ] = None,
    deterministic: Annotated[
        bool,
        typer.Option("--deterministic", help="The same bits each time on GPUs, too; slower."),
    ] = False,
    quiet: Annotated[bool, typer.Option("--quiet", help="No progress on stderr.")] = False,
    json: JsonFlag = False,
) -> None:
    """Train a recognizer as a configuration says, and report it on the selection split.

    Examples: ke2nt train quickstart · ke2nt train ferplus_resnet18 data.root=DIR optim.epochs=8 ·
    ke2nt train --resume runs/ferplus_resnet18
    """
    from ke2nt.config.load import load_config
    from ke2nt.training.run_directory import RunDirectory

    if (config is None) == (resume is None):
        raise ConfigError(
            "name a configuration, or a run to resume",
            hint="Type: ke2nt train CONFIG [key=value …], or ke2nt train --resume RUN",
        )
    if resume is not None:
        resumed_alone("ke2nt train", resume, {"--out": out, "--deterministic": deterministic})
        settings = RunDirectory(resume).load_config()
    else:
        assert config is not None
        changes = list(overrides or [])
        if out is not None:
            changes.append(f"out={yaml_text(str(out))}")
        if deterministic:
            changes.append("deterministic=true")
        settings = load_config(config, changes)
    from ke2nt.training.train_recognizer import train as run_training

    command = shlex.join(["ke2nt", *sys.argv[1:]])
    with resumable("ke2nt train", settings.out):
        result = run_training(
            settings, resume=resume is not None, quiet=quiet or json, command=command
        )
    if json:
        print_json(
            {
                "run": str(result.run.path),
                "best_epoch": result.progress.best_epoch,
                **result.evaluation.to_dict(),
            }
        )
        return
    report = result.evaluation.report
    split = result.data.val.split
    print_line(
        f"{split.dataset} {split.split}: accuracy {percent(report.accuracy, 2)}, "
        f"UAR {percent(report.uar, 2)}, macro-F1 {percent(report.macro_f1, 2)} "
        f"on {report.n} images (epoch {result.progress.best_epoch})"
    )
    for name, reason in () if silent() else result.data.failed().items():
        print(f"unreadable: {name}: {reason}", file=sys.stderr)
    print_line(f"run: {result.run.path}   report: {result.run.report}")
