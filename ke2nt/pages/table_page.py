"""What a page of tables and pictures is made of, such as that of a cross-evaluation."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

__all__ = ["PageTable", "TablePage", "TableSection"]


@dataclass(frozen=True)
class PageTable:
    """A table; its first column names the rows.

    Attributes:
        columns: Name, and whether the column holds numbers.
        rows: Cells as text.
    """

    columns: Sequence[tuple[str, bool]]
    rows: Sequence[Sequence[str]]


@dataclass(frozen=True)
class TableSection:
    """A picture and the tables that hold the same metrics.

    Attributes:
        title: Headline.
        draw: Draws the picture, called with `theme` and `format`.
        alt: The picture in words.
        caption: Below the picture.
        tables: Below that.
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
        command: What was typed.
        provenance: Versions and machine.
    """

    title: str
    lead: str
    sections: Sequence[TableSection]
    failed: Sequence[tuple[str, str]]
    command: str
    provenance: Mapping[str, Any]
