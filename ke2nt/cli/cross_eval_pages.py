"""The HTML pages of a cross-evaluation and of a robustness table."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING

from ke2nt.cli.cross_eval_tables import (
    describe_clean,
    model_names,
    notes_of,
    pair_table,
    severity_tables,
)
from ke2nt.cli.output import command_line

if TYPE_CHECKING:
    from ke2nt.evaluation.cross_dataset import CrossEvaluation
    from ke2nt.evaluation.robustness import Robustness
    from ke2nt.pages.table_page import TableSection

__all__ = ["cross_page", "robustness_page", "robustness_section"]


def cross_page(result: CrossEvaluation, failed: Sequence[tuple[str, str]]) -> str:
    """Return HTML: the heat map, every pair, and how labels were matched."""
    from ke2nt.pages.table_page import TableSection
    from ke2nt.plots.matrix_plots import plot_cross_evaluation

    section = TableSection(
        title="Every model on every dataset",
        draw=partial(plot_cross_evaluation, result, model_names(result.models)),
        alt="Heat maps of accuracy, mean class recall and calibration error, in the table below.",
        caption="An asterisk marks the dataset a model was trained on, a dash a missing result.",
        tables=[pair_table(result).for_page()],
        notes=notes_of(result),
    )
    models, targets = len(result.models), len(result.targets)
    return _page("Across datasets", f"Models: {models}, datasets: {targets}.", [section], failed)


def robustness_section(result: Robustness, title: str, notes: Sequence[str]) -> TableSection:
    """Return the section of one model on one dataset under corruptions."""
    from ke2nt.pages.table_page import TableSection
    from ke2nt.plots.matrix_plots import plot_robustness

    return TableSection(
        title=title,
        draw=partial(plot_robustness, result),
        alt="Heat maps of accuracy and mean class recall, in the tables below.",
        caption=describe_clean(result),
        tables=[table.for_page() for table in severity_tables(result)],
        notes=[f"Labels: {result.clean.mapping.describe()}.", *notes],
    )


def robustness_page(sections: Sequence[TableSection], failed: Sequence[tuple[str, str]]) -> str:
    """Return HTML: a heat map and two tables for each model and dataset."""
    lead = "Metrics under corruptions of severity 1 (mild) to 5 (heavy)."
    return _page("Robustness", lead, sections, failed)


def _page(
    title: str, lead: str, sections: Sequence[TableSection], failed: Sequence[tuple[str, str]]
) -> str:
    from ke2nt.pages.render import render_tables
    from ke2nt.pages.table_page import TablePage
    from ke2nt.runtime.provenance import provenance

    return render_tables(TablePage(title, lead, sections, failed, command_line(), provenance()))
