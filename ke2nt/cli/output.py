"""What commands print: results on stdout (tables, or only JSON), everything else on stderr."""

from __future__ import annotations

import json
import os
import re
import shlex
import sys
import textwrap
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from ke2nt.runtime.formatting import printable

if TYPE_CHECKING:
    from ke2nt.datasets.finding import Finding

__all__ = [
    "command_line",
    "is_number",
    "print_json",
    "print_line",
    "print_notes",
    "print_table",
    "print_unreadable",
    "print_warnings",
    "print_written",
    "resumable",
    "short_names",
    "silent",
]

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")


def silent() -> bool:
    """Whether another process of the launcher prints and writes; only the first one does."""
    return os.environ.get("RANK", "0") != "0"


def command_line() -> str:
    """Return the command that is running, as a shell reads it."""
    return shlex.join(["ke2nt", *sys.argv[1:]])


@contextmanager
def resumable(command: str, run: object) -> Iterator[None]:
    """When training is interrupted and saved: print how to continue, and exit with 130."""
    from ke2nt.training.interrupts import TrainingStopped

    try:
        yield
    except TrainingStopped:
        if not silent():
            print(f"stopped and saved; continue with: {command} --resume {run}", file=sys.stderr)
        raise typer.Exit(130) from None


def print_json(value: Any) -> None:
    """Print one JSON document on stdout."""
    if silent():
        return
    # a file name that is not UTF-8 becomes an escape of JSON
    print(printable(json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False)))


def print_line(text: str = "") -> None:
    """Print a line of text on stdout; nothing in it is read as markup."""
    _console().print(printable(text), markup=False, soft_wrap=True)


def print_notes(notes: Iterable[str]) -> None:
    """Print what a reader of the results must know."""
    for note in notes:
        print_line(f"note: {note}")


def print_warnings(findings: Iterable[Finding]) -> None:
    """Print the warnings among remarks on a dataset on stderr."""
    for finding in findings:
        if finding.level == "warning" and not silent():
            print(f"warning: {finding.message}. {finding.hint}", file=sys.stderr)


def print_written(folder: Path, *names: str) -> None:
    """Print which files were written; the first with its folder."""
    first, *others = names
    print_line(", ".join([f"written: {folder / first}", *others]))


def print_unreadable(failed: Mapping[str, str] | Iterable[tuple[str, str]]) -> None:
    """Print name and reason of every unreadable image on stderr."""
    if silent():
        return
    for name, reason in failed.items() if isinstance(failed, Mapping) else failed:
        print(f"unreadable: {_on_one_line(name)}: {reason}", file=sys.stderr)


@dataclass(frozen=True)
class _Column:
    """A column of a table on the terminal."""

    header: str
    cells: Sequence[str]
    is_number: bool

    @property
    def longest_cell(self) -> int:
        return max((len(cell) for cell in self.cells), default=0)

    @property
    def full_width(self) -> int:
        """Width with nothing broken."""
        return max(len(self.header), self.longest_cell)

    @property
    def least_width(self) -> int:
        """Width with texts broken between words, and numbers whole."""
        parts = self.header.split("\n")
        for cell in self.cells:
            parts += [cell] if self.is_number else cell.split()
        return max(map(len, parts))

    def with_broken_header(self) -> _Column:
        """Break the header into lines of whole words, no wider than the cells if possible."""
        name = self.header.replace(" %", "\u00a0%")
        lines = textwrap.wrap(name, max(self.longest_cell, 1), break_long_words=False)
        return replace(self, header="\n".join(lines))


def print_table(
    columns: Sequence[str], rows: Iterable[Sequence[object]], *, title: str | None = None
) -> None:
    """Print a table on stdout; nothing in it is read as markup.

    Columns whose name ends with "#" or "%", or starts with "n ", align right. On a narrow terminal,
    headers and texts are broken over several lines; numbers stay whole.
    """
    console = _console()
    cells = [[_on_one_line(str(cell)) for cell in row] for row in rows]
    layout = [
        _Column(name.removesuffix("#").rstrip(), [row[k] for row in cells], is_number(name))
        for k, name in enumerate(columns)
    ]

    # first headers are broken, then texts; numbers only if nothing else helps
    borders = 3 * len(columns) + 1
    if borders + sum(column.full_width for column in layout) > console.width:
        layout = [column.with_broken_header() for column in layout]
    numbers_fit = borders + sum(column.least_width for column in layout) <= console.width

    table = Table(
        title=None if title is None else Text(title), title_justify="left", header_style="bold"
    )

    # rich may still fold cells where nothing else helps, but cuts none
    for column in layout:
        table.add_column(
            Text(column.header),
            justify="right" if column.is_number else "left",
            no_wrap=column.is_number and numbers_fit,
            overflow="fold",
        )
    for row in cells:
        table.add_row(*map(Text, row))
    console.print(table)


def _on_one_line(text: str) -> str:
    """Escape line breaks and control characters, which file names may have."""
    return _CONTROL.sub(lambda match: match[0].encode("unicode_escape").decode(), text)


def is_number(column: str) -> bool:
    """Whether a column's name says that it holds numbers."""
    return column.startswith("n ") or column.endswith(("%", "#"))


def short_names(names: Sequence[str], length: int = 5) -> Sequence[str]:
    """Cut names to a few letters so that a matrix fits a terminal, unless two would be the same."""
    cut = [name[:length] for name in names]
    return cut if len(set(cut)) == len(names) else names


def _console() -> Console:
    console = Console(highlight=False, quiet=silent())
    if console.is_terminal:
        return console

    # a pipe or file: never cut a row to 80 columns
    return Console(highlight=False, width=200, quiet=silent())
