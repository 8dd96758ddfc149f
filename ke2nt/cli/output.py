"""What commands print: results on stdout (tables, or JSON alone), all else on stderr."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Sequence
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

__all__ = [
    "JsonFlag",
    "percent",
    "percent_range",
    "print_json",
    "print_line",
    "print_table",
    "short_names",
]

JsonFlag = Annotated[
    bool, typer.Option("--json", help="Print only JSON on stdout, for scripts.", show_default=False)
]


def _silent() -> bool:
    """Of several processes under a launcher, the first one prints."""
    return os.environ.get("RANK", "0") != "0"


def _console() -> Console:
    console = Console(highlight=False, quiet=_silent())
    if not console.is_terminal:  # a pipe or file: never cut a row to 80 columns
        console = Console(highlight=False, width=200, quiet=_silent())
    return console


def print_json(value: Any) -> None:
    """One JSON document on stdout."""
    if _silent():
        return
    print(json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False))


def print_line(text: str = "") -> None:
    """A line of text on stdout; nothing in it is read as markup."""
    _console().print(text, markup=False, soft_wrap=True)


def print_table(
    columns: Sequence[str], rows: Iterable[Sequence[object]], *, title: str | None = None
) -> None:
    """A table on stdout; nothing in it is read as markup.

    Columns whose name ends with "#" or "%", or starts with "n ", align right.
    """
    heading = None if title is None else Text(title)
    table = Table(title=heading, title_justify="left", header_style="bold")
    for name in columns:
        number = name.startswith("n ") or name.endswith(("%", "#"))
        table.add_column(name.removesuffix("#").rstrip(), justify="right" if number else "left")
    for row in rows:
        table.add_row(*(Text(str(cell)) for cell in row))
    _console().print(table)


def percent(share: float | None) -> str:
    """A share as a number of percent, or a dash."""
    return "–" if share is None else f"{100 * share:.1f}"


def percent_range(interval: tuple[float, float] | None) -> str:
    """An interval of shares, or a dash."""
    return "–" if interval is None else f"{percent(interval[0])} to {percent(interval[1])}"


def short_names(names: Sequence[str], length: int = 5) -> Sequence[str]:
    """Names cut to a few letters, so that a matrix fits a terminal; whole where two would agree."""
    cut = [name[:length] for name in names]
    return cut if len(set(cut)) == len(names) else names
