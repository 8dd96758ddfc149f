"""`ke2nt cross-eval`."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ke2nt.cli.cross_eval_tables import show_cross, show_robustness
from ke2nt.cli.evaluation_tables import evaluation_notes
from ke2nt.cli.option_groups import with_option_groups
from ke2nt.cli.option_values import check_writable
from ke2nt.cli.options import (
    ComputeOptions,
    FlipOption,
    LabelChoice,
    LabelOptions,
    OutputOptions,
    StatisticsOptions,
)
from ke2nt.cli.output import command_line, print_json, print_line, print_written
from ke2nt.errors import Ke2ntError

if TYPE_CHECKING:
    from ke2nt.evaluation.cross_dataset import CrossEvaluation
    from ke2nt.evaluation.robustness import Robustness
    from ke2nt.evaluation.targets import Target
    from ke2nt.pages.table_page import TableSection

__all__ = ["cross_eval"]

_SOME_FAILED, _ALL_FAILED = 1, 2


@dataclass(frozen=True)
class _CrossLabels(LabelOptions):
    labels: Annotated[
        LabelChoice,
        typer.Option("--labels", help="What to do with classes that only one side has."),
    ] = LabelChoice.drop


@dataclass(frozen=True)
class _RobustnessOptions:
    """Whether corrupted images are evaluated, and which corruptions."""

    robustness: Annotated[
        bool,
        typer.Option(
            "--robustness", help="Evaluate each dataset under every corruption, and without."
        ),
    ] = False
    kind: Annotated[
        list[str] | None, typer.Option("--kind", help="Only this corruption; may be repeated.")
    ] = None
    severity: Annotated[
        list[int] | None, typer.Option("--severity", help="Only this severity; may be repeated.")
    ] = None

    def arguments(self) -> dict[str, Any]:
        """Return the corruptions and severities that were chosen; all others if none were."""
        chosen = {"kinds": self.kind, "severities": self.severity}
        return {name: values for name, values in chosen.items() if values}


@dataclass
class _Outcome:
    """How many results there are, and what failed: (what, error)."""

    count: int = 0
    failures: list[tuple[str, str]] = field(default_factory=list)


@with_option_groups
def cross_eval(
    runs: Annotated[
        list[str], typer.Argument(help="Run directories, saved models' folders, names or hub ids.")
    ],
    on: Annotated[
        list[str],
        typer.Option(
            "--on",
            metavar="NAME=DIR[,KEY=VALUE…]",
            help="A dataset; may be repeated. Keys: split (default: test, or else val), limit, as "
            "(its name in tables), and the dataset's options, such as rule=majority.",
        ),
    ],
    corruptions: _RobustnessOptions,
    labels: _CrossLabels,
    compute: ComputeOptions,
    statistics: StatisticsOptions,
    output: OutputOptions,
    flip_tta: FlipOption = False,
    out: Annotated[
        Path | None,
        typer.Option("--out", callback=check_writable, help="Folder for JSON, plots, report.html."),
    ] = None,
) -> None:
    """Compare models on datasets they were not trained on, or under corruptions.

    A model or dataset that fails is named, and the others are still evaluated. Exit code: 1 if some
    failed, 2 if nothing could be evaluated.

    Example: ke2nt cross-eval runs/a runs/b --on ferplus=DIR,split=val,rule=majority --on rafdb=DIR
    """
    from ke2nt.evaluation.targets import Target, disambiguate_targets

    targets = disambiguate_targets([Target.parse(text) for text in on])
    if corruptions.arguments() and not corruptions.robustness:
        raise Ke2ntError("--kind and --severity need --robustness")
    settings: dict[str, Any] = {
        **labels.arguments(),
        **compute.arguments(),
        **statistics.arguments(),
        "flip_tta": flip_tta,
        "quiet": output.hides_progress,
    }

    # both kinds print, write and count failures in the same way
    if corruptions.robustness:
        settings |= corruptions.arguments()
        outcome = _evaluate_robustness(runs, targets, settings, out, output.json)
    else:
        outcome = _evaluate_cross(runs, targets, settings, out, output.json)

    # failures come last, where they are seen even after long tables
    for what, error in outcome.failures:
        print(f"failed: {what}: {error}", file=sys.stderr)
    if outcome.failures:
        raise typer.Exit(_SOME_FAILED if outcome.count else _ALL_FAILED)


def _evaluate_cross(
    runs: Sequence[str],
    targets: Sequence[Target],
    settings: dict[str, Any],
    out: Path | None,
    json: bool,
) -> _Outcome:
    """Evaluate every model on every dataset, print and write the results."""
    from ke2nt.evaluation.cross_dataset import cross_evaluate
    from ke2nt.runtime.atomic import write_json

    def save(result: CrossEvaluation) -> None:
        if out is not None:
            write_json(out / "cross_eval.json", result.to_dict())

    # results are saved after each pair, so that an interrupted comparison is not lost
    result = cross_evaluate(runs, targets, notes=evaluation_notes, on_cell=save, **settings)
    outcome = _cross_outcome(result)
    if out is not None:
        _write_cross_page(out, result, outcome.failures)
    if json:
        print_json(result.to_dict())
        return outcome

    show_cross(result)
    if out is not None:
        print_written(out, "cross_eval.json", "cross_eval.png", "report.html")
    return outcome


def _cross_outcome(result: CrossEvaluation) -> _Outcome:
    """Group the pairs that failed by their error: one unreadable dataset fails for every model."""
    pairs_by_error: dict[str, list[str]] = {}
    for cell in result.failed:
        pairs_by_error.setdefault(str(cell.error), []).append(f"{cell.model} on {cell.target}")
    failures = [(", ".join(pairs), error) for error, pairs in pairs_by_error.items()]
    return _Outcome(len(result.cells) - len(result.failed), failures)


def _write_cross_page(
    out: Path, result: CrossEvaluation, failures: Sequence[tuple[str, str]]
) -> None:
    from ke2nt.pages.cross_page import build_cross_page
    from ke2nt.pages.cross_tables import shorten_model_names
    from ke2nt.pages.render import render_tables
    from ke2nt.plots.matrix_plots import plot_cross_evaluation
    from ke2nt.runtime.atomic import write_bytes, write_text

    # the page embeds the plot; the file is for papers
    plot = plot_cross_evaluation(result, shorten_model_names(result.models))
    write_bytes(out / "cross_eval.png", plot)
    page = build_cross_page(result, failures, command=command_line())
    write_text(out / "report.html", render_tables(page))


def _evaluate_robustness(
    runs: Sequence[str],
    targets: Sequence[Target],
    settings: dict[str, Any],
    out: Path | None,
    json: bool,
) -> _Outcome:
    """Evaluate every model on every dataset under corruptions, print and write the results."""
    from ke2nt.pages.cross_page import build_robustness_page, build_robustness_section
    from ke2nt.pages.cross_tables import shorten_model_names
    from ke2nt.pages.render import render_tables
    from ke2nt.plots.matrix_plots import plot_robustness
    from ke2nt.runtime.atomic import write_bytes, write_json, write_text

    entries: list[dict[str, Any]] = []
    sections: list[TableSection] = []
    outcome = _Outcome()

    def save(result: Robustness) -> None:
        entries[-1].update(result.to_dict())
        if out is not None:
            write_json(out / "robustness.json", entries)

    # a model that is named twice would only repeat its tables
    models = list(dict.fromkeys(runs))
    names = dict(zip(models, shorten_model_names(models), strict=True))
    for run, target in [(run, target) for run in models for target in targets]:
        entries.append({"model": run, "target": target.to_dict(), "error": None})
        try:
            result, notes = _evaluate_corrupted(run, target, {**settings, "on_cell": save})
        # one unreadable dataset must not cost the other results
        except (Ke2ntError, OSError) as error:
            entries[-1]["error"] = str(error)
            outcome.failures.append((f"{run} on {target.name}", str(error)))
            continue

        # plots and sections are made while the result is at hand; only numbers are kept
        outcome.count += 1
        entries[-1]["notes"] = notes
        title = f"{names[run]} on {target.name}"
        if out is not None:
            entries[-1]["picture"] = f"robustness-{len(entries)}.png"
            write_bytes(out / entries[-1]["picture"], plot_robustness(result))
            sections.append(build_robustness_section(result, title, notes))
        if not json:
            show_robustness(result, title, notes)

    if out is not None:
        write_json(out / "robustness.json", entries)
        page = build_robustness_page(sections, outcome.failures, command=command_line())
        write_text(out / "report.html", render_tables(page))
    if json:
        print_json(entries)
    elif out is not None:
        print_line(f"written: {out / 'robustness.json'}, report.html and a plot for each table")
    return outcome


def _evaluate_corrupted(
    run: str, target: Target, settings: dict[str, Any]
) -> tuple[Robustness, list[str]]:
    """Evaluate one model on one dataset under corruptions, with notes on its metrics."""
    from ke2nt.evaluation.cross_dataset import applicable_merges
    from ke2nt.evaluation.robustness import evaluate_robustness
    from ke2nt.models.load import load_model

    model, split = load_model(run), target.load()
    merge = applicable_merges(settings["merge"], split, model)
    result = evaluate_robustness(model, split, **{**settings, "merge": merge})
    return result, evaluation_notes(run, model, split)
