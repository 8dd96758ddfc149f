"""`ke2nt cross-eval`."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ke2nt.cli.cross_eval_robustness import evaluate_robustness_of
from ke2nt.cli.cross_eval_tables import show_cross
from ke2nt.cli.evaluation_tables import evaluation_notes
from ke2nt.cli.names import check_model_name
from ke2nt.cli.option_groups import with_option_groups
from ke2nt.cli.option_values import check_writable
from ke2nt.cli.options import (
    ON_HELP,
    ON_METAVAR,
    ComputeOptions,
    FlipOption,
    OutputOptions,
    PriorOption,
    SeveralLabelOptions,
    StatisticsOptions,
)
from ke2nt.cli.outcome import Outcome, group_failures
from ke2nt.cli.output import command_line, print_json, print_warnings, print_written, silent
from ke2nt.cli.paper_options import PaperOptions, print_paper_files
from ke2nt.errors import Ke2ntError

if TYPE_CHECKING:
    from ke2nt.evaluation.cross_dataset import CrossEvaluation
    from ke2nt.evaluation.targets import Target

__all__ = ["cross_eval"]


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


@with_option_groups
def cross_eval(
    runs: Annotated[
        list[str], typer.Argument(help="Run directories, saved models' folders, names or hub ids.")
    ],
    on: Annotated[list[str], typer.Option("--on", metavar=ON_METAVAR, help=ON_HELP)],
    corruptions: _RobustnessOptions,
    labels: SeveralLabelOptions,
    compute: ComputeOptions,
    statistics: StatisticsOptions,
    output: OutputOptions,
    paper: PaperOptions,
    flip_tta: FlipOption = False,
    prior: PriorOption = None,
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
    _name_absent_models(runs)
    for target in targets:
        # a dataset that cannot be opened is named in its row
        with suppress(Ke2ntError):
            print_warnings(target.open_reader().remarks())
    settings: dict[str, Any] = {
        **labels.arguments(),
        **compute.arguments(),
        **statistics.arguments(),
        "flip_tta": flip_tta,
        "prior": prior,
        "quiet": output.hides_progress,
    }

    # both kinds print, write and count failures in the same way
    if corruptions.robustness:
        settings |= corruptions.arguments()
        outcome = evaluate_robustness_of(runs, targets, settings, out, paper, output.json)
    else:
        outcome = _evaluate_cross(runs, targets, settings, out, paper, output.json)

    # failures come last, where they are seen even after long tables
    outcome.report()


def _name_absent_models(runs: Sequence[str]) -> None:
    """Name the models that are not there before the others take minutes; end if none is."""
    failures = []
    for run in runs:
        try:
            check_model_name(run)
        except Ke2ntError as error:
            failures.append((run, str(error)))
    if len(failures) == len(runs):
        Outcome(failures=failures).report()
    if not silent():
        for run, reason in failures:
            print(f"warning: {run}: {reason}", file=sys.stderr)


def _evaluate_cross(
    runs: Sequence[str],
    targets: Sequence[Target],
    settings: dict[str, Any],
    out: Path | None,
    paper: PaperOptions,
    json: bool,
) -> Outcome:
    """Evaluate every model on every dataset, print and write the results."""
    from ke2nt.evaluation.cross_dataset import cross_evaluate
    from ke2nt.evaluation.cross_result_tables import cross_result_tables
    from ke2nt.pages.cross_tables import shorten_model_names
    from ke2nt.plots.matrix_plots import plot_cross_evaluation
    from ke2nt.runtime.atomic import write_json

    def save(result: CrossEvaluation) -> None:
        if out is not None:
            write_json(out / "cross_eval.json", result.to_dict())

    # results are saved after each pair, so that an interrupted comparison is not lost
    result = cross_evaluate(runs, targets, notes=evaluation_notes, on_cell=save, **settings)
    outcome = _cross_outcome(result)
    if out is not None:
        _write_cross_page(out, result, outcome.failures)
    names = shorten_model_names(result.models)
    files = paper.write(
        lambda: cross_result_tables(result, names),
        lambda format: {
            f"cross_eval.{format}": plot_cross_evaluation(result, names, format=format)
        },
    )
    if json:
        print_json(result.to_dict())
        return outcome

    show_cross(result)
    if out is not None:
        print_written(out, "cross_eval.json", "cross_eval.png", "report.html")
    print_paper_files(files)
    return outcome


def _cross_outcome(result: CrossEvaluation) -> Outcome:
    """Count the results, and name what failed."""
    failed = [(f"{cell.model} on {cell.target}", str(cell.error)) for cell in result.failed]
    return Outcome(len(result.cells) - len(result.failed), group_failures(failed))


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
