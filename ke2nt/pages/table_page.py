"""The contents of a page of plots and tables, such as that of a cross-evaluation."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ke2nt.tables.printed import format_rows
from ke2nt.tables.table import Table

__all__ = ["PageTable", "TablePage", "TableSection"]


@dataclass(frozen=True)
class PageTable:
    """A table; its first column names the rows.

    Attributes:
        columns: Name, and whether the column holds numbers.
        rows: Cells as text.
        title: Title on a terminal; a page has the headline of its section instead.
        headline: Headline on a page, if a section has several tables.
    """

    columns: Sequence[tuple[str, bool]]
    rows: Sequence[Sequence[str]]
    title: str | None = None
    headline: str | None = None

    @classmethod
    def from_table(cls, table: Table, headline: str | None = None) -> PageTable:
        """Format a table of results."""
        columns = [table.columns[k] for k in table.printed]
        titles = [(each.title, each.is_number) for each in columns]
        return cls(titles, format_rows(table), headline=headline)


@dataclass(frozen=True)
class TableSection:
    """A plot and the tables with the same metrics.

    Attributes:
        title: Headline.
        draw: Draws the plot; called with `theme` and `format`.
        alt: The plot in words.
        caption: Text below the plot.
        tables: Tables below the caption.
        notes: Sentences below the tables.
    """

    title: str
    draw: Callable[..., bytes]
    alt: str
    caption: str
    tables: Sequence[PageTable]
    notes: Sequence[str] = ()


@dataclass(frozen=True)
class TablePage:
    """Everything that one page shows.

    Attributes:
        title: Headline.
        lead: One sentence below it.
        sections: The results.
        failed: (What, why), shown at the top.
        command: The command line.
        provenance: Versions and machine.
    """

    title: str
    lead: str
    sections: Sequence[TableSection]
    failed: Sequence[tuple[str, str]]
    command: str
    provenance: Mapping[str, Any]
