"""The HTML pages of a cross-evaluation and of a robustness table."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING

from ke2nt.cli.cross_tables import clean_words, model_names, notes_of, pair_table, severity_tables

if TYPE_CHECKING:
    from ke2nt.evaluation.cross_dataset import CrossEvaluation
    from ke2nt.evaluation.robustness import Robustness
    from ke2nt.pages.table_page import TableSection

__all__ = ["cross_page", "robustness_page", "robustness_section"]


def cross_page(result: CrossEvaluation, failed: Sequence[tuple[str, str]]) -> str:
    """HTML: the heat map, every pair, and how labels were joined."""
    from ke2nt.pages.table_page import TableSection
    from ke2nt.plots.matrix_plots import plot_cross_evaluation

    section = TableSection(
        title="Every model on every dataset",
        draw=partial(plot_cross_evaluation, result, model_names(result.models)),
        alt="Heat maps of accuracy, mean class recall and calibration error, in the table below.",
        caption="An asterisk marks a model's own dataset, a dash what could not be measured.",
        tables=[pair_table(result).for_page()],
        notes=notes_of(result),
    )
    models, targets = len(result.models), len(result.targets)
    return _page("Across datasets", f"Models: {models}, datasets: {targets}.", [section], failed)


def robustness_section(result: Robustness, title: str, notes: Sequence[str]) -> TableSection:
    """A model on a dataset under corruptions."""
    from ke2nt.pages.table_page import TableSection
    from ke2nt.plots.matrix_plots import plot_robustness

    return TableSection(
        title=title,
        draw=partial(plot_robustness, result),
        alt="Heat maps of accuracy and mean class recall, in the tables below.",
        caption=clean_words(result),
        tables=[table.for_page() for table in severity_tables(result)],
        notes=[f"Labels: {result.clean.mapping.describe()}.", *notes],
    )


def robustness_page(sections: Sequence[TableSection], failed: Sequence[tuple[str, str]]) -> str:
    """HTML: a heat map and two tables for each model and dataset."""
    lead = "What is left under corruptions of severity 1 (mild) to 5 (heavy)."
    return _page("Robustness", lead, sections, failed)


def _page(
    title: str, lead: str, sections: Sequence[TableSection], failed: Sequence[tuple[str, str]]
) -> str:
    from ke2nt.pages.render import render_tables
    from ke2nt.pages.table_page import TablePage
    from ke2nt.runtime.provenance import provenance

    command = shlex.join(["ke2nt", *sys.argv[1:]])
    return render_tables(TablePage(title, lead, sections, failed, command, provenance()))
