"""Tables with named columns: separators, index columns, and errors that name the line."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from ke2nt.data.picture_formats import is_image_name
from ke2nt.datasets.text_files import location, read_text
from ke2nt.errors import DataError
from ke2nt.runtime.suggest import did_you_mean

__all__ = ["parse_integer", "parse_usage", "read_header", "read_table"]

# FER2013's names of its splits
_USAGES = {"training": "train", "publictest": "val", "privatetest": "test"}
_USAGE_NAMES = "Training, PublicTest, PrivateTest"
# A spreadsheet writes the separator of its language
_SEPARATORS = (",", ";", "\t", "|")
_INDEX_COLUMN = re.compile(r"(unnamed: *\d+)?", re.IGNORECASE)


def read_table(
    path: Path,
    required: Sequence[str],
    *,
    aliases: Mapping[str, Sequence[str]] | None = None,
    header: Sequence[str] | None = None,
) -> Iterator[tuple[int, dict[str, str]]]:
    """Rows of a table with a header, with cells between commas, semicolons, tabs or bars.

    Column names are compared without case and surrounding blanks; a required column is returned
    under the name in `required`, any other under the name in the file. The nameless index column
    that pandas writes is left out.

    Args:
        path: The file.
        required: Columns that must be there.
        aliases: Column → other names that it may have.
        header: Columns of a file that has no header; by default a header is required.

    Yields:
        Line number (from 1) and column → stripped cell, for every row that is not blank.

    Raises:
        DataError: A column is missing or named twice, or a row has the wrong number of cells.
    """
    text, offset = _without_separator_line(read_text(path))
    if header is not None and not text.strip():
        return
    separator = _find_separator(text, required, aliases or {})
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True)
    try:
        first = next(reader, [])
        rename = _rename(first, required, aliases or {})
        if header is not None and len(first) == len(header) and not set(required) <= set(rename):
            columns = list(header)
            yield reader.line_num + offset, _match_cells(path, reader, columns, first, offset) or {}
        else:
            columns = _check_header(path, first, rename, required)

        for row in reader:
            cells = _match_cells(path, reader, columns, row, offset)
            if cells is not None:
                yield reader.line_num + offset, cells
    except csv.Error as error:
        where = location(path, reader.line_num + offset)
        raise DataError("a CSV file is damaged", where=where, found=error) from error


def read_header(path: Path) -> list[str]:
    """Column names of a table as its first line has them, in lower case; [] for a damaged file."""
    try:
        text, _ = _without_separator_line(read_text(path, limit=1 << 16))
        # a quoted header or one line without a line end are fine, too
        line = next(iter(text.split("\n")), "")
        separator = max(_SEPARATORS, key=line.count)
        cells = next(csv.reader([line], delimiter=separator), [])
    except (DataError, csv.Error):
        return []
    return [cell.strip().lower() for cell in cells]


def _without_separator_line(text: str) -> tuple[str, int]:
    """The text without Excel's line "sep=;", and the number of lines that were left out."""
    first, _, rest = text.partition("\n")
    return (rest, 1) if re.fullmatch(r'"?sep=.?"?', first.strip()) else (text, 0)


def _find_separator(
    text: str, required: Sequence[str], aliases: Mapping[str, Sequence[str]]
) -> str:
    """The separator that finds most of the required columns in the first line."""
    line = text.partition("\n")[0]

    def count(separator: str) -> tuple[int, int]:
        try:
            cells = next(csv.reader([line], delimiter=separator), [])
        except csv.Error:
            return 0, 0
        return len(set(required) & set(_rename(cells, required, aliases))), len(cells)

    # the first of equals, so that a comma is preferred
    return max(_SEPARATORS, key=count)


def _rename(
    cells: Sequence[str], required: Sequence[str], aliases: Mapping[str, Sequence[str]]
) -> list[str]:
    """Column names, the required ones and those with aliases under the names that readers use."""
    header = [name.strip() for name in cells]
    known = dict.fromkeys([*required, *aliases])
    spelling = {name.lower(): name for name in known}
    columns = [spelling.get(name.lower(), name) for name in header]

    # another name is only taken if exactly one column has one
    for name in known:
        others = [i for i, column in enumerate(columns) if column.lower() in aliases.get(name, ())]
        if name not in columns and len(others) == 1:
            columns[others[0]] = name
    return columns


def _check_header(
    path: Path, cells: Sequence[str], columns: list[str], required: Sequence[str]
) -> list[str]:
    """Return the column names, or raise an error that says what is missing."""
    # a missing column explains more than a repeated one
    problem, hint = None, None
    missing = [name for name in required if name not in columns]
    named = [name for name in columns if not _INDEX_COLUMN.fullmatch(name)]
    repeated = sorted({name for name in named if named.count(name) > 1})
    if missing:
        problem, hint = f"column {missing[0]!r} is missing", did_you_mean(missing[0], columns)
        if cells and is_image_name(cells[0].split()[0] if cells[0].split() else ""):
            hint = f"The list has no header: write {','.join(required)} as its first line."
    elif repeated:
        problem = f"column {repeated[0]!r} appears twice"

    if problem is not None:
        raise DataError(
            problem,
            where=location(path, 1),
            expected=f"a header with the columns {', '.join(required)}",
            found=", ".join(name.strip()[:40] for name in cells[:12]) or "no header",
            hint=hint,
        )
    return columns


def _match_cells(
    path: Path, reader: object, columns: Sequence[str], row: Sequence[str], offset: int
) -> dict[str, str] | None:
    """Column → cell of a row, without index columns; None for a blank row."""
    cells = [cell.strip() for cell in row]
    if not any(cells):
        return None

    # Spreadsheets pad rows with empty cells
    while len(cells) > len(columns) and not cells[-1]:
        cells.pop()
    if len(cells) != len(columns):
        raise DataError(
            "a row has the wrong number of cells",
            where=location(path, getattr(reader, "line_num", 0) + offset),
            expected=len(columns),
            found=len(cells),
        )
    named = zip(columns, cells, strict=True)
    return {name: cell for name, cell in named if not _INDEX_COLUMN.fullmatch(name)}


def parse_integer(text: str, *, where: object, low: int, high: int, hint: str | None = None) -> int:
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
        hint=hint,
    )


def parse_usage(usage: str, *, where: str) -> str:
    """The split that FER2013 and FER+ mean by a usage, in any case.

    Raises:
        DataError: The usage is unknown.
    """
    if usage.lower() not in _USAGES:
        raise DataError(
            "unknown usage", where=where, expected=f"one of {_USAGE_NAMES}", found=repr(usage)
        )
    return _USAGES[usage.lower()]
