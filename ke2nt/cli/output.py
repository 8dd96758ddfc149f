"""What commands print: results on stdout (tables, or JSON alone), all else on stderr."""

from __future__ import annotations

import json
import os
import sys
import textwrap
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

__all__ = [
    "JsonFlag",
    "is_number",
    "print_json",
    "print_line",
    "print_table",
    "resumable",
    "short_names",
    "silent",
]

JsonFlag = Annotated[
    bool, typer.Option("--json", help="Print only JSON on stdout, for scripts.", show_default=False)
]


def silent() -> bool:
    """Whether this is not the first of a launcher's processes, the one that prints and writes."""
    return os.environ.get("RANK", "0") != "0"


@contextmanager
def resumable(command: str, run: object) -> Iterator[None]:
    """Where training is stopped and saved: say how to go on, and exit with 130."""
    from ke2nt.training.interrupts import TrainingStopped

    try:
        yield
    except TrainingStopped:
        if not silent():
            print(f"stopped and saved; go on with: {command} --resume {run}", file=sys.stderr)
        raise typer.Exit(130) from None


def _console() -> Console:
    console = Console(highlight=False, quiet=silent())
    if not console.is_terminal:  # a pipe or file: never cut a row to 80 columns
        console = Console(highlight=False, width=200, quiet=silent())
    return console


def print_json(value: Any) -> None:
    """One JSON document on stdout."""
    if silent():
        return
    print(json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False))


def print_line(text: str = "") -> None:
    """A line of text on stdout; nothing in it is read as markup."""
    _console().print(text, markup=False, soft_wrap=True)


def print_table(
    columns: Sequence[str], rows: Iterable[Sequence[object]], *, title: str | None = None
) -> None:
    """A table on stdout; nothing in it is read as markup.

    Columns whose name ends with "#" or "%", or starts with "n ", align right. Where a terminal is
    too narrow, names and texts are broken over several lines, numbers are not.
    """
    console = _console()
    cells = [[str(cell) for cell in row] for row in rows]
    number = [is_number(name) for name in columns]
    headers = [name.removesuffix("#").rstrip() for name in columns]
    longest = [max((len(row[k]) for row in cells), default=0) for k in range(len(columns))]
    borders = 3 * len(columns) + 1
    if borders + sum(map(max, longest, map(len, headers))) > console.width:
        headers = [_broken(*column) for column in zip(headers, longest, strict=True)]
    least = [
        max(map(len, header.split("\n") + [w for row in cells for w in _words(row[k], number[k])]))
        for k, header in enumerate(headers)
    ]
    whole = borders + sum(least) <= console.width  # then no number has to be broken
    table = Table(
        title=None if title is None else Text(title), title_justify="left", header_style="bold"
    )
    for header, right in zip(headers, number, strict=True):
        table.add_column(
            Text(header),
            justify="right" if right else "left",
            no_wrap=right and whole,
            overflow="fold",
        )
    for row in cells:
        table.add_row(*map(Text, row))
    console.print(table)


def is_number(column: str) -> bool:
    """Whether a column's name says that it holds numbers."""
    return column.startswith("n ") or column.endswith(("%", "#"))


def _words(cell: str, whole: bool) -> list[str]:
    return [cell] if whole else cell.split()


def _broken(name: str, width: int) -> str:
    """A column's name on lines of its words, none longer than its cells if that can be."""
    return "\n".join(
        textwrap.wrap(name.replace(" %", "\u00a0%"), max(width, 1), break_long_words=False)
    )


def short_names(names: Sequence[str], length: int = 5) -> Sequence[str]:
    """Names cut to a few letters, so that a matrix fits a terminal; whole where two would agree."""
    cut = [name[:length] for name in names]
    return cut if len(set(cut)) == len(names) else names
