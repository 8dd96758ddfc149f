"""A table of results, independent of the file format that it is written in."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

__all__ = ["Cell", "Column", "Estimate", "Table"]

Kind = Literal["text", "count", "share", "difference", "number", "detail"]


@dataclass(frozen=True, slots=True)
class Estimate:
    """A number and how sure it is.

    Attributes:
        value: The number, or the mean of repeated measurements.
        interval: Lower and upper bound, such as those of a 95 % bootstrap interval.
        deviation: Standard deviation of repeated measurements.
    """

    value: float | None
    interval: tuple[float, float] | None = None
    deviation: float | None = None

    @classmethod
    def from_repeats(cls, values: Sequence[float]) -> Estimate:
        """Return mean and sample standard deviation of at least one measurement.

        A single measurement has no deviation.
        """
        deviation = statistics.stdev(values) if len(values) > 1 else None
        return cls(statistics.fmean(values), deviation=deviation)


Cell = str | int | float | Estimate | None


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a table.

    Attributes:
        key: Name in data files, such as "macro_f1".
        title: Name in printed tables, such as "macro-F1 %".
        kind: What the cells are. text: words. count: whole numbers. share: numbers in [0, 1],
            printed in percent. difference: differences of shares, printed with a sign in
            percentage points. number: any other number. detail: words for data files only, such
            as the reason of a failure.
        digits: Digits after the decimal point in printed tables.
    """

    key: str
    title: str
    kind: Kind = "text"
    digits: int = 1

    @property
    def is_number(self) -> bool:
        """Whether the cells are numbers, which align right."""
        return self.kind not in ("text", "detail")


@dataclass(frozen=True)
class Table:
    """Results in rows.

    Attributes:
        columns: What the cells of a row are.
        rows: A cell for each column; None where there is no value.
        name: Suffix of the table's file, such as "classes"; empty for the main table.
        title: Headline on a terminal.
    """

    columns: Sequence[Column]
    rows: Sequence[Sequence[Cell]]
    name: str = ""
    title: str | None = None

    @property
    def printed(self) -> list[int]:
        """Indices of the columns that printed tables have."""
        return [k for k, column in enumerate(self.columns) if column.kind != "detail"]

    def estimates(self, k: int) -> list[Estimate]:
        """Return the cells of a column that are estimates."""
        column = [row[k] for row in self.rows]
        return [cell for cell in column if isinstance(cell, Estimate)]

    def without_intervals(self) -> Table:
        """Return the table with plain numbers in place of intervals."""
        rows = [[_without_interval(cell) for cell in row] for row in self.rows]
        return replace(self, rows=rows)


def _without_interval(cell: Cell) -> Cell:
    return replace(cell, interval=None) if isinstance(cell, Estimate) else cell
