"""The cells of a printed table as text: rounded, in percent, with intervals or deviations."""

from __future__ import annotations

from ke2nt.runtime.formatting import NOTHING
from ke2nt.tables.table import Cell, Column, Estimate, Table

__all__ = ["format_cell", "format_rows"]


def format_cell(cell: Cell, column: Column) -> str:
    """Format a cell.

    Returns:
        "84.5", "84.5 (83.2–85.7)" with an interval, "84.5 ± 0.3" with a deviation, or a dash if a
        number is missing.
    """
    if isinstance(cell, str):
        return cell
    if cell is None:
        return NOTHING if column.is_number else ""
    if not isinstance(cell, Estimate):
        return _format_number(cell, column)
    if cell.value is None:
        return NOTHING

    # a deviation has the unit of its value, but never a sign
    text = _format_number(cell.value, column)
    if cell.deviation is not None:
        scale = 100 if column.kind in ("share", "difference") else 1
        text += f" ± {scale * cell.deviation:.{column.digits}f}"
    if cell.interval is not None:
        low, high = (_format_number(bound, column) for bound in cell.interval)
        text += f" ({low} to {high})" if column.kind == "difference" else f" ({low}–{high})"
    return text


def format_rows(table: Table) -> list[list[str]]:
    """Format the cells of a table's printed columns."""
    return [[format_cell(row[k], table.columns[k]) for k in table.printed] for row in table.rows]


def _format_number(value: float, column: Column) -> str:
    if column.kind == "count":
        return f"{value:d}" if isinstance(value, int) else f"{value:g}"
    if column.kind == "share":
        return f"{100 * value:.{column.digits}f}"
    if column.kind == "difference":
        # zero has no sign, whichever side it was rounded from
        text = f"{100 * value:+.{column.digits}f}"
        return text if text.strip("+-0.") else text[1:]
    return f"{value:.{column.digits}f}"
