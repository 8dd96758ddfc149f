"""`ke2nt cross-eval`."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ke2nt.cli.cross_tables import model_names, show_cross, show_robustness
from ke2nt.cli.evaluation_tables import evaluation_notes
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
    writable,
)
from ke2nt.cli.output import JsonFlag, print_json, print_line
from ke2nt.errors import Ke2ntError

if TYPE_CHECKING:
    from ke2nt.evaluation.robustness import Robustness
    from ke2nt.evaluation.targets import Target
    from ke2nt.pages.table_page import TableSection

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
    precision: PrecisionOption = PrecisionChoice.fp32,
    bootstrap: BootstrapOption = 1000,
    seed: SeedOption = 0,
    out: Annotated[
        Path | None,
        typer.Option("--out", callback=writable, help="Folder for JSON, pictures and report.html."),
    ] = None,
    quiet: QuietFlag = False,
    json: JsonFlag = False,
) -> None:
    """Compare models on datasets that they were not made for, or under corruptions.

    A model or dataset that fails is named and costs no other result; the exit code is 1 then, and 2
    where nothing could be evaluated.

    Example: ke2nt cross-eval runs/a runs/b --on ferplus=DIR,split=val,rule=majority --on rafdb=DIR
    """
    from ke2nt.evaluation.targets import Target, disambiguate_targets

    targets = disambiguate_targets([Target.parse(text) for text in on])
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
    from ke2nt.evaluation.cross_dataset import CrossEvaluation, cross_evaluate
    from ke2nt.runtime.atomic import write_bytes, write_json, write_text

    def keep(result: CrossEvaluation) -> None:
        if out is not None:
            write_json(out / "cross_eval.json", result.to_dict())

    result = cross_evaluate(
        runs, targets, merge=merge, notes=evaluation_notes, on_cell=keep, **options
    )
    pairs_of: dict[str, list[str]] = {}
    for cell in result.failed:
        pairs_of.setdefault(str(cell.error), []).append(f"{cell.model} on {cell.target}")
    failures = [(", ".join(names), error) for error, names in pairs_of.items()]
    if out is not None:
        from ke2nt.cli.cross_pages import cross_page
        from ke2nt.plots.matrix_plots import plot_cross_evaluation

        write_bytes(
            out / "cross_eval.png", plot_cross_evaluation(result, model_names(result.models))
        )
        write_text(out / "report.html", cross_page(result, failures))
    if json:
        print_json(result.to_dict())
    else:
        show_cross(result)
        if out is not None:
            print_line(f"written: {out / 'cross_eval.json'}, cross_eval.png, report.html")
    _say(failures)
    return len(result.cells) - len(result.failed), len(result.failed)


def _robustness(
    runs: Sequence[str],
    targets: Sequence[Target],
    merge: dict[str, str],
    options: dict[str, Any],
    out: Path | None,
    json: bool,
) -> tuple[int, int]:
    from ke2nt.cli.cross_pages import robustness_page, robustness_section
    from ke2nt.evaluation.cross_dataset import applicable_merges
    from ke2nt.evaluation.robustness import evaluate_robustness
    from ke2nt.models.load import load_model
    from ke2nt.plots.matrix_plots import plot_robustness
    from ke2nt.runtime.atomic import write_bytes, write_json, write_text

    entries: list[dict[str, Any]] = []
    failures: list[tuple[str, str]] = []
    sections: list[TableSection] = []

    def keep(result: Robustness) -> None:
        entries[-1].update(result.to_dict())
        if out is not None:
            write_json(out / "robustness.json", entries)

    names = dict(zip(runs, model_names(runs), strict=True))
    for run, target in ((run, target) for run in runs for target in targets):
        entry: dict[str, Any] = {"model": run, "target": target.to_dict(), "error": None}
        entries.append(entry)
        try:
            model, split = load_model(run), target.load()
            possible = applicable_merges(merge, split, model)
            result = evaluate_robustness(model, split, merge=possible, on_cell=keep, **options)
        except (Ke2ntError, OSError) as error:
            entry["error"] = str(error)
            failures.append((f"{run} on {target.name}", str(error)))
            continue
        title, notes = f"{names[run]} on {target.name}", evaluation_notes(run, model, split)
        entry["notes"] = notes
        if out is not None:
            entry["picture"] = f"robustness-{len(entries)}.png"
            write_bytes(out / entry["picture"], plot_robustness(result))
            sections.append(robustness_section(result, title, notes))
        if not json:
            show_robustness(result, title, notes)
    if out is not None:
        write_json(out / "robustness.json", entries)
        write_text(out / "report.html", robustness_page(sections, failures))
    if json:
        print_json(entries)
    elif out is not None:
        print_line(f"written: {out / 'robustness.json'}, report.html and a picture a table")
    _say(failures)
    return len(entries) - len(failures), len(failures)


def _say(failures: Sequence[tuple[str, str]]) -> None:
    for what, error in failures:
        print(f"failed: {what}: {error}", file=sys.stderr)
