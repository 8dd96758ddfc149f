"""The HTML page of a few-shot experiment."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from ke2nt.pages.table_page import PageTable, TablePage, TableSection
from ke2nt.runtime.provenance import provenance
from ke2nt.tables.table import Table

__all__ = ["build_few_shot_page"]

_ALT = (
    "Curves of accuracy and mean class recall of each method over the number of training images of "
    "each class, in the table below."
)
_CAPTION = (
    "Points are means over the seeds, bars one standard deviation over them: how much depends on "
    "which images were drawn. The intervals of the table are 95 % bootstrap intervals over the "
    "evaluated images."
)


def build_few_shot_page(
    draw: Callable[..., bytes],
    tables: Sequence[Table],
    *,
    lead: str,
    notes: Sequence[str],
    command: str,
) -> TablePage:
    """Build the contents of a page with curves and tables.

    Args:
        draw: Draws the curves; called with `theme` and `format`.
        tables: Methods and shots, recalls, and single fits.
        lead: What was evaluated, in a sentence.
        notes: What a reader of the metrics must know.
        command: The command line.
    """
    means, recall, fits = tables
    section = TableSection(
        title="Accuracy and mean class recall over shots",
        draw=draw,
        alt=_ALT,
        caption=_CAPTION,
        tables=[
            PageTable.from_table(means, "Means over the seeds"),
            _without_units(PageTable.from_table(recall, "Recall of each class, percent")),
            PageTable.from_table(fits, "Every fit"),
        ],
        notes=notes,
    )

    return TablePage(
        title="Few shots",
        lead=lead,
        sections=[section],
        failed=(),
        command=command,
        provenance=provenance(),
    )


def _without_units(table: PageTable) -> PageTable:
    """Leave "%" out of the columns, of which there is one for each class."""
    columns = [(name.removesuffix(" %"), is_number) for name, is_number in table.columns]
    return replace(table, columns=columns)
