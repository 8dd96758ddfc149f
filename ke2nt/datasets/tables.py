"""Annotation text files: byte-order marks, line ends and damage, with errors that name the line."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from ke2nt.errors import DataError
from ke2nt.runtime.suggest import did_you_mean

__all__ = [
    "location",
    "parse_integer",
    "parse_usage",
    "portable_path",
    "read_lines",
    "read_table",
    "read_text",
]

# FER2013's names of its splits
_USAGES = {"Training": "train", "PublicTest": "val", "PrivateTest": "test"}


def location(path: Path, line: int) -> str:
    """File and line of an error, for messages."""
    return f"{path}, line {line}"


def read_text(path: Path) -> str:
    """Read a UTF-8 text file, without byte-order mark and with plain newlines.

    Raises:
        DataError: The file is missing or not UTF-8 text.
    """
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except (OSError, ValueError) as error:
        raise DataError("a text file cannot be read", where=path, found=error) from error

    if "\0" in text:
        raise DataError("a text file holds zero bytes", where=path, expected="UTF-8 text")
    return text.replace("\r\n", "\n").replace("\r", "\n")


def read_lines(path: Path) -> Iterator[tuple[int, str]]:
    """Line number (from 1) and stripped text of every line that is not blank."""
    for number, line in enumerate(read_text(path).split("\n"), start=1):
        if line.strip():
            yield number, line.strip()


def read_table(path: Path, required: Sequence[str]) -> Iterator[tuple[int, dict[str, str]]]:
    """Rows of a comma-separated file with a header.

    Column names are compared without case and surrounding blanks; a required column is returned
    under the name in `required`, any other under the name in the file.

    Yields:
        Line number (from 1) and column → stripped cell, for every row that is not blank.

    Raises:
        DataError: A column is missing or named twice, or a row has the wrong number of cells.
    """
    reader = csv.reader(io.StringIO(read_text(path), newline=""), strict=True)
    try:
        columns = _parse_header(path, next(reader, []), required)
        for row in reader:
            cells = [cell.strip() for cell in row]
            if not any(cells):
                continue

            # Spreadsheets pad rows with empty cells
            while len(cells) > len(columns) and not cells[-1]:
                cells.pop()
            if len(cells) != len(columns):
                raise DataError(
                    "a row has the wrong number of cells",
                    where=location(path, reader.line_num),
                    expected=len(columns),
                    found=len(cells),
                )
            yield reader.line_num, dict(zip(columns, cells, strict=True))
    except csv.Error as error:
        where = location(path, reader.line_num)
        raise DataError("a CSV file is damaged", where=where, found=error) from error


def _parse_header(path: Path, cells: Sequence[str], required: Sequence[str]) -> list[str]:
    """Column names, the required ones as spelled in `required`."""
    header = [name.strip() for name in cells]
    spelling = {name.lower(): name for name in required}
    columns = [spelling.get(name.lower(), name) for name in header]

    # a missing column explains more than a repeated one
    problem, hint = None, None
    missing = [name for name in required if name not in columns]
    repeated = sorted({name for name in columns if columns.count(name) > 1})
    if missing:
        problem, hint = f"column {missing[0]!r} is missing", did_you_mean(missing[0], header)
    elif repeated:
        problem = f"column {repeated[0]!r} appears twice"

    if problem is not None:
        raise DataError(
            problem,
            where=location(path, 1),
            expected=f"a header with the columns {', '.join(required)}",
            found=", ".join(header) or "no header",
            hint=hint,
        )
    return columns


def parse_integer(text: str, *, where: object, low: int, high: int) -> int:
    """A whole number within bounds, both included.

    Raises:
        DataError: The text is not such a number.
    """
    if re.fullmatch(r"-?[0-9]{1,9}", text) and low <= int(text) <= high:
        return int(text)
    raise DataError(
        "not a valid number",
        where=where,
        expected=f"a whole number {low} to {high}",
        found=repr(text),
    )


def portable_path(text: str) -> Path:
    """A path from an annotation file; Windows backslashes are read as slashes."""
    return Path(text.replace("\\", "/"))


def parse_usage(usage: str, *, where: str) -> str:
    """The split that FER2013 and FER+ mean by a usage.

    Raises:
        DataError: The usage is unknown.
    """
    if usage not in _USAGES:
        raise DataError(
            "unknown usage", where=where, expected=f"one of {', '.join(_USAGES)}", found=repr(usage)
        )
    return _USAGES[usage]
