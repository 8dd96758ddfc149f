"""Print the tables of a cross-evaluation and of a robustness evaluation."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ke2nt.cli.output import is_number, print_line, print_notes, print_table

if TYPE_CHECKING:
    from ke2nt.evaluation.cross_dataset import CrossEvaluation
    from ke2nt.evaluation.robustness import Robustness
    from ke2nt.pages.table_page import PageTable

__all__ = ["show_cross", "show_robustness"]


def show_cross(result: CrossEvaluation) -> None:
    """Print every pair with intervals, two matrices, and how labels were matched."""
    from ke2nt.pages.cross_tables import build_metric_matrices, build_pair_table, describe_pairs

    _show(build_pair_table(result))
    if any(cell.home for cell in result.cells):
        print_line("* the dataset that the model was trained on")

    # A matrix adds nothing to a single row or column of pairs.
    if len(result.models) > 1 and len(result.targets) > 1:
        for table in build_metric_matrices(result):
            _show(table)
    for note in describe_pairs(result):
        print_line(note)


def show_robustness(result: Robustness, title: str, notes: Sequence[str]) -> None:
    """Print the tables of a model on a dataset."""
    from ke2nt.pages.cross_tables import build_severity_tables, describe_clean

    print_line(f"{title}. {describe_clean(result)}")
    for table in build_severity_tables(result):
        _show(table)
    print_line(f"labels: {result.clean.mapping.describe()}")
    print_notes(notes)


def _show(table: PageTable) -> None:
    """Print a table; numbers align right."""
    columns = [
        f"{name} #" if number and not is_number(name) else name for name, number in table.columns
    ]
    print_table(columns, table.rows, title=table.title)
