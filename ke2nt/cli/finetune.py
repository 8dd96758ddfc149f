"""`ke2nt finetune`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ke2nt.cli.option_groups import with_option_groups
from ke2nt.cli.option_values import quote_yaml
from ke2nt.cli.options import OutputOptions
from ke2nt.cli.output import (
    command_line,
    print_json,
    print_line,
    print_notes,
    print_table,
    print_unreadable,
    print_warnings,
    resumable,
)
from ke2nt.cli.run_options import KeepFlag
from ke2nt.errors import DataError
from ke2nt.runtime.formatting import percent_cell

if TYPE_CHECKING:
    from ke2nt.evaluation.score import Evaluation
    from ke2nt.training.train_recognizer import TrainResult

__all__ = ["finetune"]

_CONFIG = "folder"
_OPTIMISTIC = "the epoch was chosen on these images, so the last column is a little optimistic"
_METRICS = {"accuracy": "accuracy", "uar": "mean class recall (UAR)"}


@dataclass(frozen=True)
class _FinetuneOptions:
    """What to train further, on which images."""

    folder: Annotated[
        Path,
        typer.Argument(
            metavar="DIR", help="A folder of images for each class, or DIR/train/CLASS."
        ),
    ]
    overrides: Annotated[
        list[str] | None, typer.Argument(help="key=value, such as optim.lr=0.001 text.prompts=facs")
    ] = None
    start: Annotated[
        str | None,
        typer.Option(
            "--start",
            metavar="MODEL",
            help="Model to start from: of the package, a run, a folder or a hub id. Default: "
            "ferplus-faces.",
        ),
    ] = None
    epochs: Annotated[int | None, typer.Option("--epochs", min=1, help="Epochs. Default: 10.")] = (
        None
    )
    out: Annotated[
        Path | None, typer.Option("--out", help="Run directory. Default: runs/NAME of the folder.")
    ] = None
    keep: KeepFlag = False

    def all_overrides(self) -> list[str]:
        """Return the overrides that the options stand for, and last those that were typed."""
        out = self.out or Path("runs") / self.folder.resolve().name
        overrides = [
            f"data.root={quote_yaml(str(self.folder))}",
            f"out={quote_yaml(str(out))}",
        ]
        if self.start is not None:
            overrides.append(f"start={quote_yaml(self.start)}")
        if self.epochs is not None:
            overrides.append(f"optim.epochs={self.epochs}")
        if self.keep:
            overrides.append("keep=true")
        return [*overrides, *(self.overrides or [])]


@with_option_groups
def finetune(options: _FinetuneOptions, output: OutputOptions) -> None:
    """Train a recognizer further on your images, in one folder for each class.

    Known names of folders (happy, Angry) become expressions; others are words of your own. Images
    for validation are taken from a folder val, or set aside. Resume with ke2nt train --resume RUN.

    Examples: ke2nt finetune faces · ke2nt finetune faces --start runs/mine --epochs 10
    """
    from ke2nt.config.load import load_config

    config = load_config(_CONFIG, options.all_overrides(), command="train")
    if not options.folder.expanduser().is_dir():
        raise DataError(
            "no folder of images",
            expected="a folder with one folder of images for each class",
            where=options.folder,
        )

    from ke2nt.training.names import check_names

    print_warnings(check_names(config).remarks())

    # torch is imported here: a wrong name is reported before that takes seconds
    from ke2nt.training.finetune import (
        describe_classes,
        describe_copies,
        evaluate_start,
        folder_names,
    )
    from ke2nt.training.train_recognizer import train

    with resumable("ke2nt train", config.out):
        result = train(config, quiet=output.hides_progress, command=command_line())

    # what training was worth, on images that it did not see
    before = evaluate_start(result, bootstrap=0)
    folders = folder_names(result.data.train.split)
    copies = describe_copies(result)
    notes = [copies] if copies else []
    if output.json:
        print_json({**_facts(result, before, folders), "notes": notes})
        return
    data = result.data
    counts = [len(images.usable) for images in (data.train, data.val)]
    print_line(f"classes: {', '.join(describe_classes(folders))}")
    print_line(f"images: {counts[0]:,} for training, {counts[1]:,} for validation")
    _show(result, before)
    print_notes([_OPTIMISTIC, *notes])
    print_unreadable(data.failed())
    print_line(f"run: {result.run.path}   report: {result.run.report}")
    print_line(f"next: ke2nt predict photo.jpg --model {result.run.path}")


def _facts(
    result: TrainResult, before: Evaluation | None, folders: dict[str, tuple[str, ...]]
) -> dict[str, Any]:
    """Return the document of --json."""
    return {
        "run": str(result.run.path),
        "best_epoch": result.progress.best_epoch,
        "folders": {name: list(names) for name, names in folders.items()},
        "before": None
        if before is None
        else {name: getattr(before.report, name) for name in _METRICS},
        "unreadable": result.data.failed(),
        **result.evaluation.to_dict(),
    }


def _show(result: TrainResult, before: Evaluation | None) -> None:
    """Print metrics and recall on the validation images, before and after training."""
    after = result.evaluation.report
    rows: list[list[str]] = [
        [
            title,
            "–" if before is None else percent_cell(getattr(before.report, name)),
            percent_cell(getattr(after, name)),
        ]
        for name, title in _METRICS.items()
    ]

    # few images make a recall jump: their number stands beside it
    for i, scores in enumerate(after.per_class):
        old = None if before is None else before.report.per_class[i].recall
        title = f"recall of {scores.name} ({scores.support} images)"
        rows.append(
            [title, "–" if before is None else percent_cell(old), percent_cell(scores.recall)]
        )
    print_table(["on the validation images", "before %", "after %"], rows)
