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
from ke2nt.runtime.suggest import nearest

__all__ = ["parse_integer", "parse_usage", "read_header", "read_integer", "read_table"]

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
    text, offset = _without_preamble(read_text(path), required, aliases or {})
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
            columns = _check_header(location(path, 1 + offset), first, rename, required, aliases)

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
        text, _ = _without_preamble(read_text(path, limit=1 << 16), (), {})
        # a quoted header or one line without a line end are fine, too
        line = next(iter(text.split("\n")), "")
        separator = max(_SEPARATORS, key=line.count)
        cells = next(csv.reader([line], delimiter=separator), [])
    except (DataError, csv.Error):
        return []
    return [cell.strip().lower() for cell in cells]


def _without_preamble(
    text: str, required: Sequence[str], aliases: Mapping[str, Sequence[str]]
) -> tuple[str, int]:
    """The text from its header on, and the number of lines before it.

    Blank lines, comments and Excel's line "sep=;" may come before a header.
    """
    count = 0
    while text:
        line, _, rest = text.partition("\n")
        skipped = re.fullmatch(r'("?sep=.?"?)?', line.strip()) is not None
        # "#" may also begin a header, as of an index column
        if line.startswith("#") and required:
            cells = re.split(r"[,;|\t]", line.lstrip("# "))
            skipped = not set(required) & set(_rename(cells, required, aliases))
        if not skipped:
            break
        text, count = rest, count + 1
    return text, count


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
    plain = [re.sub(r"[\s-]+", "_", column.lower()) for column in columns]
    for name in known:
        others = [i for i, column in enumerate(plain) if column in aliases.get(name, ())]
        if name not in columns and len(others) == 1:
            columns[others[0]] = name
    return columns


def _check_header(
    where: str,
    cells: Sequence[str],
    columns: list[str],
    required: Sequence[str],
    aliases: Mapping[str, Sequence[str]] | None,
) -> list[str]:
    """Return the column names, or raise an error that says what is missing."""
    # a missing column explains more than a repeated one
    problem, hint = None, None
    missing = [name for name in required if name not in columns]
    named = [name for name in columns if not _INDEX_COLUMN.fullmatch(name)]
    repeated = sorted({name for name in named if named.count(name) > 1})
    if missing:
        problem = f"column {missing[0]!r} is missing"
        hint = _explain_missing(missing[0], cells, required, aliases or {})
    elif repeated:
        problem = f"column {repeated[0]!r} appears twice"

    if problem is not None:
        raise DataError(
            problem,
            where=where,
            expected=f"a header with the columns {', '.join(required)}",
            found=", ".join(name.strip()[:40] for name in cells[:12]) or "no header",
            hint=hint,
        )
    return columns


def _explain_missing(
    name: str,
    cells: Sequence[str],
    required: Sequence[str],
    aliases: Mapping[str, Sequence[str]],
) -> str | None:
    """What to do about a column that is missing."""
    words = cells[0].split() if cells else []
    if words and is_image_name(words[0]):
        return f"The list has no header: write {','.join(required)} as its first line."
    if words and words[0].startswith(("{", "[")):
        return "This seems to be JSON: write it as CSV, with one line for each image."
    if len(cells) == 1 and re.search(r"[\s,;|]", cells[0].strip()):
        return "Separate the cells with commas, without quotes around whole lines."

    # of several columns with a known name, only the user knows which is meant
    plain = {re.sub(r"[\s-]+", "_", cell.strip().lower()): cell.strip() for cell in cells}
    several = [plain[other] for other in plain if other in aliases.get(name, ())]
    if len(several) > 1:
        return f"Rename one of {', '.join(several)} to {name!r}."
    near = nearest(name, [cell.strip() for cell in cells], cutoff=0.5)
    if near is not None:
        return f"Did you mean {near!r}? If so, rename it to {name!r}."
    others = aliases.get(name, ())
    return f"Other names that are known: {', '.join(others)}." if others else None


def _match_cells(
    path: Path, reader: object, columns: Sequence[str], row: Sequence[str], offset: int
) -> dict[str, str] | None:
    """Column → cell of a row, without index columns; None for a blank row."""
    cells = [cell.strip() for cell in row]
    if not any(cells) or (len(cells) == 1 < len(columns) and cells[0].startswith("#")):
        return None

    # Spreadsheets pad rows with empty cells, and headers with nameless columns
    while len(cells) > len(columns) and not cells[-1]:
        cells.pop()
    if not any(columns[len(cells) :]):
        columns = columns[: len(cells)]
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
    """A whole number within bounds, both included; pandas may have written it as "3.0".

    Raises:
        DataError: The text is not such a number.
    """
    number = read_integer(text, low, high)
    if number is not None:
        return number
    raise DataError(
        "not a valid number",
        where=where,
        expected=f"a whole number {low} to {high}",
        found=repr(text),
        hint=hint,
    )


def read_integer(text: str, low: int, high: int) -> int | None:
    """A whole number as `parse_integer` reads it, or None."""
    match = re.fullmatch(r"(-?[0-9]{1,9})(\.0+)?", text)
    return int(match[1]) if match and low <= int(match[1]) <= high else None


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
