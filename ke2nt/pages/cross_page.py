"""The HTML pages of a cross-evaluation and of a robustness evaluation."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from ke2nt.evaluation.cross_dataset import CrossEvaluation
from ke2nt.evaluation.robustness import Robustness
from ke2nt.pages.cross_tables import (
    build_pair_table,
    build_severity_tables,
    describe_clean,
    describe_pairs,
    shorten_model_names,
)
from ke2nt.pages.table_page import TablePage, TableSection
from ke2nt.plots.matrix_plots import plot_cross_evaluation, plot_robustness
from ke2nt.runtime.provenance import provenance

__all__ = ["build_cross_page", "build_robustness_page", "build_robustness_section"]


def build_cross_page(
    result: CrossEvaluation, failed: Sequence[tuple[str, str]], *, command: str
) -> TablePage:
    """Build the contents of a page with the heat map, every pair, and how labels were matched.

    Args:
        result: The matrix.
        failed: (what, why), shown at the top.
        command: The command line.
    """
    # The same numbers as a plot and as a table.
    section = TableSection(
        title="Every model on every dataset",
        draw=partial(plot_cross_evaluation, result, shorten_model_names(result.models)),
        alt="Heat maps of accuracy, mean class recall and calibration error, in the table below.",
        caption="An asterisk marks the dataset a model was trained on, a dash a missing result.",
        tables=[build_pair_table(result)],
        notes=describe_pairs(result),
    )

    return TablePage(
        title="Across datasets",
        lead=f"Models: {len(result.models)}, datasets: {len(result.targets)}.",
        sections=[section],
        failed=failed,
        command=command,
        provenance=provenance(),
    )


def build_robustness_section(result: Robustness, title: str, notes: Sequence[str]) -> TableSection:
    """Build the section of one model on one dataset under corruptions."""
    return TableSection(
        title=title,
        draw=partial(plot_robustness, result),
        alt="Heat maps of accuracy and mean class recall, in the tables below.",
        caption=describe_clean(result),
        tables=build_severity_tables(result),
        notes=[f"Labels: {result.clean.mapping.describe()}.", *notes],
    )


def build_robustness_page(
    sections: Sequence[TableSection], failed: Sequence[tuple[str, str]], *, command: str
) -> TablePage:
    """Build the contents of a page with a heat map and two tables per model and dataset.

    Args:
        sections: One for each pair, from `build_robustness_section`.
        failed: (what, why), shown at the top.
        command: The command line.
    """
    return TablePage(
        title="Robustness",
        lead="Metrics under corruptions of severity 1 (mild) to 5 (heavy).",
        sections=sections,
        failed=failed,
        command=command,
        provenance=provenance(),
    )
