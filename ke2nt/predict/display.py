"""Results as short text, as an HTML table, and as annotated pictures."""

from __future__ import annotations

import html
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from ke2nt.runtime.formatting import percent

if TYPE_CHECKING:
    from ke2nt.predict.result import FaceResult

__all__ = ["format_list", "format_row", "rows_to_html"]

_MAX_LINES = 50
_COLUMNS = ("source", "face at", "expression", "confidence", "intensity")


def format_list(name: str, lines: Sequence[str]) -> str:
    """Format "Name([…])" with a line for each item, at most fifty."""
    if not lines:
        return f"{name}([])"
    shown = [f"\n  {line}," for line in lines[:_MAX_LINES]]
    if len(lines) > _MAX_LINES:
        shown.append(f"\n  … {len(lines) - _MAX_LINES:,} more")
    return f"{name}([{''.join(shown)}\n])"


def format_row(row: FaceResult) -> str:
    """Format a row in a line, such as "photo.jpg: happiness 0.93 at 10, 20 to 90, 110"."""
    place = "" if row.frame is None else f", frame {row.frame}"
    text = f"{row.source}{place}: {row.verdict}"
    if row.box is None:
        return text if row.reason is None else f"{text}: {row.reason}"
    return f"{text} {row.confidence or 0:.2f} at {_format_box(row)}"


def rows_to_html(rows: Iterable[FaceResult]) -> str:
    """Format rows as an HTML table, at most fifty; all texts are escaped."""
    rows = list(rows)
    head = "".join(f"<th>{name}</th>" for name in _COLUMNS)
    body = "".join(f"<tr>{_to_cells(row)}</tr>" for row in rows[:_MAX_LINES])
    more = len(rows) - _MAX_LINES
    note = f"<p>… {more:,} more rows</p>" if more > 0 else ""
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>{note}"


def _to_cells(row: FaceResult) -> str:
    source = row.source if row.frame is None else f"{row.source}, frame {row.frame}"
    verdict = row.verdict
    if row.status == "unreadable":
        verdict += f": {row.reason}"
    intensity = row.unscaled_intensity if row.intensity is None else row.intensity
    unit = " (unscaled)" if row.unscaled_intensity is not None else ""
    cells = (
        source,
        _format_box(row),
        verdict,
        "" if row.confidence is None else percent(row.confidence, 0),
        "" if intensity is None else f"{intensity:.2f}{unit}",
    )
    return "".join(f"<td>{html.escape(cell)}</td>" for cell in cells)


def _format_box(row: FaceResult) -> str:
    return "" if row.box is None else "{:.0f}, {:.0f} to {:.0f}, {:.0f}".format(*row.box)
