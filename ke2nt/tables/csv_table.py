"""A table as comma-separated values: unrounded numbers, one in each column."""

from __future__ import annotations

import csv
import io

from ke2nt.tables.table import Cell, Estimate, Table

__all__ = ["to_csv"]


def to_csv(table: Table) -> str:
    """Format as CSV; missing values are empty.

    An interval of `accuracy` is in the columns `accuracy_low` and `accuracy_high`, a standard
    deviation in `accuracy_sd`.
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    parts = [_column_parts(table, k) for k in range(len(table.columns))]

    # header first; every row has the same parts
    writer.writerow(
        column.key + part
        for column, column_parts in zip(table.columns, parts, strict=True)
        for part in column_parts
    )
    for row in table.rows:
        writer.writerow(
            _read_part(cell, part)
            for cell, column_parts in zip(row, parts, strict=True)
            for part in column_parts
        )
    return text.getvalue()


def _column_parts(table: Table, k: int) -> list[str]:
    """Return the suffixes of the columns that hold one column of the table."""
    parts = [""]
    if any(cell.deviation is not None for cell in table.estimates(k)):
        parts.append("_sd")
    if any(cell.interval is not None for cell in table.estimates(k)):
        parts += ["_low", "_high"]
    return parts


def _read_part(cell: Cell, part: str) -> str | int | float | None:
    if not isinstance(cell, Estimate):
        cell = cell if part == "" else None
        # a line break would be valid, but many programs read CSV line by line
        return " ".join(cell.split()) if isinstance(cell, str) else cell

    low, high = cell.interval or (None, None)
    return {"": cell.value, "_sd": cell.deviation, "_low": low, "_high": high}[part]
