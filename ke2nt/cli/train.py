"""`ke2nt train`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from ke2nt.cli.option_groups import with_option_groups
from ke2nt.cli.option_values import quote_yaml
from ke2nt.cli.options import OutputOptions
from ke2nt.cli.output import (
    command_line,
    print_json,
    print_line,
    print_unreadable,
    print_warnings,
    resumable,
)
from ke2nt.cli.run_options import RunOptions
from ke2nt.runtime.formatting import percent

if TYPE_CHECKING:
    from ke2nt.config.schema import TrainConfig

__all__ = ["train"]


@with_option_groups
def train(
    run: RunOptions,
    output: OutputOptions,
    start: Annotated[
        str | None,
        typer.Option(
            "--start",
            metavar="MODEL",
            help="Model to start from: of the package, a run, a folder or a hub id.",
        ),
    ] = None,
    deterministic: Annotated[
        bool,
        typer.Option("--deterministic", help="Bit-identical results on GPUs, too; slower there."),
    ] = False,
) -> None:
    """Train a recognizer from a configuration, and evaluate it on the selection split.

    Examples: ke2nt train quickstart · ke2nt train ferplus_resnet18 data.root=DIR optim.epochs=8 ·
    ke2nt train --resume runs/ferplus_resnet18
    """
    config = _load_config(run, start, deterministic)

    # torch is imported here: a wrong name is reported before that takes seconds
    from ke2nt.training.train_recognizer import train as train_recognizer

    # Ctrl-C saves the state, and exits with the command to continue
    with resumable("ke2nt train", config.out):
        result = train_recognizer(
            config, resume=run.is_resumed, quiet=output.hides_progress, command=command_line()
        )

    report, split, epoch = (
        result.evaluation.report,
        result.data.val.split,
        result.progress.best_epoch,
    )
    if output.json:
        facts = {"run": str(result.run.path), "best_epoch": epoch}
        print_json({**facts, **result.evaluation.to_dict()})
        return
    report, split = result.evaluation.report, result.data.val.split
    print_line(
        f"{split.dataset} {split.split}: accuracy {percent(report.accuracy, 2)}, "
        f"UAR {percent(report.uar, 2)}, macro-F1 {percent(report.macro_f1, 2)} "
        f"on {report.n} images (epoch {epoch})"
    )
    print_unreadable(result.data.failed())
    print_line(f"run: {result.run.path}   report: {result.run.report}")


def _load_config(run: RunOptions, start: str | None, deterministic: bool) -> TrainConfig:
    """Return the configuration of a new run, or of the one to resume."""
    from ke2nt.config.load import load_config

    run.check("ke2nt train", start=start, deterministic=deterministic)
    if run.resume is not None:
        from ke2nt.training.run_directory import RunDirectory

        return RunDirectory(run.resume).load_config()

    assert run.config is not None
    overrides = run.all_overrides()
    if start is not None:
        overrides.append(f"start={quote_yaml(start)}")
    if deterministic:
        overrides.append("deterministic=true")
    config = load_config(run.config, overrides, command="train")
    from ke2nt.training.names import check_names

    print_warnings(check_names(config).remarks())
    return config
