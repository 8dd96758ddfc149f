"""`ke2nt cross-eval --robustness`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ke2nt.cli.cross_eval_tables import show_robustness
from ke2nt.cli.evaluation_tables import evaluation_notes
from ke2nt.cli.outcome import Outcome
from ke2nt.cli.output import command_line, print_json, print_line
from ke2nt.cli.paper_options import PaperOptions, print_paper_files
from ke2nt.errors import Ke2ntError

if TYPE_CHECKING:
    from ke2nt.evaluation.robustness import Robustness
    from ke2nt.evaluation.targets import Target
    from ke2nt.pages.table_page import TableSection

__all__ = ["evaluate_robustness_of"]


def evaluate_robustness_of(
    runs: Sequence[str],
    targets: Sequence[Target],
    settings: dict[str, Any],
    out: Path | None,
    paper: PaperOptions,
    json: bool,
) -> Outcome:
    """Evaluate every model on every dataset under corruptions, print and write the results."""
    from ke2nt.evaluation.cross_result_tables import robustness_tables
    from ke2nt.pages.cross_page import build_robustness_page, build_robustness_section
    from ke2nt.pages.cross_tables import shorten_model_names
    from ke2nt.pages.render import render_tables
    from ke2nt.plots.matrix_plots import plot_robustness
    from ke2nt.runtime.atomic import write_bytes, write_json, write_text

    entries: list[dict[str, Any]] = []
    results: list[tuple[str, str, Robustness]] = []
    sections: list[TableSection] = []
    outcome = Outcome()

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
        results.append((names[run], target.name, result))
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
    files = paper.write(
        lambda: robustness_tables(results),
        lambda format: {
            f"robustness-{n}.{format}": plot_robustness(result, format=format)
            for n, (*_, result) in enumerate(results, start=1)
        },
    )
    if json:
        print_json(entries)
        return outcome
    if out is not None:
        print_line(f"written: {out / 'robustness.json'}, report.html and a plot for each table")
    print_paper_files(files)
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
