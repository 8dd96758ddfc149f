"""`ke2nt cross-eval`."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ke2nt.cli.cross_tables import model_names, show_cross, show_robustness
from ke2nt.cli.evaluation_tables import calibration_notes, selection_notes
from ke2nt.cli.options import (
    BatchSizeOption,
    BootstrapOption,
    DeviceOption,
    LabelChoice,
    LabelsOption,
    MergeOption,
    PrecisionChoice,
    PrecisionOption,
    QuietFlag,
    SeedOption,
    device_name,
    pairs,
)
from ke2nt.cli.output import JsonFlag, print_json, print_line
from ke2nt.errors import Ke2ntError

if TYPE_CHECKING:
    from ke2nt.data.sample import FaceSplit
    from ke2nt.evaluation.robustness import Robustness
    from ke2nt.evaluation.targets import Target
    from ke2nt.models.recogniser import Recogniser

__all__ = ["cross_eval"]

_SOME_FAILED, _ALL_FAILED = 1, 2


def cross_eval(
    runs: Annotated[
        list[str], typer.Argument(help="Run directories, saved models' folders, names or hub ids.")
    ],
    on: Annotated[
        list[str],
        typer.Option(
            "--on",
            metavar="NAME=DIR[,KEY=VALUE…]",
            help="A dataset; may be repeated. Keys: split (default test, or else val), limit, as "
            "(its name in tables), and the options of its reader, such as rule=majority.",
        ),
    ],
    robustness: Annotated[
        bool,
        typer.Option("--robustness", help="Each dataset under every corruption, instead of once."),
    ] = False,
    kind: Annotated[
        list[str] | None, typer.Option("--kind", help="Only this corruption; may be repeated.")
    ] = None,
    severity: Annotated[
        list[int] | None, typer.Option("--severity", help="Only this one; may be repeated.")
    ] = None,
    labels: LabelsOption = LabelChoice.drop,
    merge: MergeOption = None,
    flip_tta: Annotated[
        bool, typer.Option("--flip-tta", help="Average each image with its mirror image.")
    ] = False,
    batch_size: BatchSizeOption = 128,
    device: DeviceOption = None,
    precision: PrecisionOption = PrecisionChoice.auto,
    bootstrap: BootstrapOption = 1000,
    seed: SeedOption = 0,
    out: Annotated[
        Path | None, typer.Option("--out", help="Folder for the figures as JSON and pictures.")
    ] = None,
    quiet: QuietFlag = False,
    json: JsonFlag = False,
) -> None:
    """Compare models on datasets that they were not made for, or under corruptions.

    A model or dataset that fails is named and costs no other result; the exit code is 1 then, and 2
    where nothing could be evaluated.

    Example: ke2nt cross-eval runs/a runs/b --on ferplus=DIR,split=val,rule=majority --on rafdb=DIR
    """
    from ke2nt.evaluation.targets import Target, named_apart

    targets = named_apart([Target.parse(text) for text in on])
    options: dict[str, Any] = {
        "policy": labels.value,
        "flip_tta": flip_tta,
        "batch_size": batch_size,
        "device": device_name(device),
        "precision": precision.value,
        "bootstrap": bootstrap,
        "seed": seed,
        "quiet": quiet or json,
    }
    merged = pairs(merge, "--merge")
    if robustness:
        sweep = {"kinds": kind, "severities": severity}
        options |= {name: values for name, values in sweep.items() if values}
        done, failed = _robustness(list(dict.fromkeys(runs)), targets, merged, options, out, json)
    elif kind or severity:
        raise Ke2ntError("--kind and --severity belong to --robustness")
    else:
        done, failed = _cross(runs, targets, merged, options, out, json)
    if failed:
        raise typer.Exit(_SOME_FAILED if done else _ALL_FAILED)


def _cross(
    runs: Sequence[str],
    targets: Sequence[Target],
    merge: dict[str, str],
    options: dict[str, Any],
    out: Path | None,
    json: bool,
) -> tuple[int, int]:
    from ke2nt.evaluation.cross import CrossEvaluation, cross_evaluate

    def keep(result: CrossEvaluation) -> None:
        if out is not None:
            from ke2nt.runtime.atomic import write_json

            write_json(out / "cross_eval.json", result.to_dict())

    result = cross_evaluate(runs, targets, merge=merge, notes=_notes, each=keep, **options)
    if out is not None:
        from ke2nt.report.matrix_figures import cross_figure
        from ke2nt.runtime.atomic import write_bytes

        write_bytes(out / "cross_eval.png", cross_figure(result, model_names(result.models)))
    if json:
        print_json(result.to_dict())
    else:
        show_cross(result)
        if out is not None:
            print_line(f"written: {out / 'cross_eval.json'}, cross_eval.png")
    pairs_of: dict[str | None, list[str]] = {}
    for cell in result.failed:
        pairs_of.setdefault(cell.error, []).append(f"{cell.model} on {cell.target}")
    for error, names in pairs_of.items():
        _say_failure(", ".join(names), error)
    return len(result.cells) - len(result.failed), len(result.failed)


def _robustness(
    runs: Sequence[str],
    targets: Sequence[Target],
    merge: dict[str, str],
    options: dict[str, Any],
    out: Path | None,
    json: bool,
) -> tuple[int, int]:
    from ke2nt.evaluation.robustness import robustness
    from ke2nt.models.saving import load_model
    from ke2nt.report.matrix_figures import robustness_figure
    from ke2nt.runtime.atomic import write_bytes, write_json

    entries: list[dict[str, Any]] = []
    failed = 0
    for run, target in ((run, target) for run in runs for target in targets):
        entry: dict[str, Any] = {"model": run, "target": target.to_dict(), "error": None}
        entries.append(entry)

        def keep(result: Robustness, entry: dict[str, Any] = entry) -> None:
            entry.update(result.to_dict())
            if out is not None:
                write_json(out / "robustness.json", entries)

        try:
            model, split = load_model(run), target.load()
            result = robustness(model, split, merge=merge, each=keep, **options)
        except (Ke2ntError, OSError) as error:
            failed += 1
            entry["error"] = str(error)
            _say_failure(f"{run} on {target.name}", str(error))
            continue
        entry["notes"] = _notes(run, model, split)
        if out is not None:
            picture = out / f"robustness-{len(entries)}.png"
            write_bytes(picture, robustness_figure(result))
            entry["picture"] = picture.name
        if not json:
            name = model_names(runs)[runs.index(run)]
            show_robustness(result, f"{name} on {target.name}", entry["notes"])
    if out is not None:
        write_json(out / "robustness.json", entries)
    if json:
        print_json(entries)
    elif out is not None:
        print_line(f"written: {out / 'robustness.json'} and a picture a table")
    return len(entries) - failed, failed


def _notes(run: str, model: Recogniser, split: FaceSplit) -> list[str]:
    notes = selection_notes(Path(run), split)
    for facts in () if notes else model.card.get("evaluations", ()):
        if (facts.get("dataset"), facts.get("split")) == (split.dataset, split.split):
            notes += facts.get("notes", ())
    return notes + calibration_notes(model, split)


def _say_failure(what: str, error: str | None) -> None:
    print(f"failed: {what}: {error}", file=sys.stderr)
