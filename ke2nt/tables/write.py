"""Tables written to files; the suffix decides the format."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from ke2nt.errors import ConfigError
from ke2nt.runtime.atomic import check_folder, write_text
from ke2nt.tables.csv_table import to_csv
from ke2nt.tables.markup import to_latex, to_markdown
from ke2nt.tables.table import Table

__all__ = ["FORMATS", "check_table_file", "write_tables"]

FORMATS: Mapping[str, Callable[[Table], str]] = {
    ".csv": to_csv,
    ".tex": to_latex,
    ".md": to_markdown,
}


def check_table_file(path: Path) -> None:
    """Check that a table can be written to a file, before there are results.

    Raises:
        ConfigError: The suffix is unknown, or the file cannot be written.
    """
    if path.suffix.lower() not in FORMATS:
        raise ConfigError(
            f"no table format has the suffix {path.suffix!r}",
            expected=", ".join(FORMATS),
            where=path,
        )
    if path.is_dir():
        raise ConfigError("cannot write the table", expected="a file", found="a folder", where=path)
    if path.exists() and not os.access(path, os.W_OK):
        raise ConfigError("the table's file is not writable", where=path)
    check_folder(path.parent)


def write_tables(path: Path, tables: Sequence[Table]) -> list[Path]:
    """Write a main table to a file, and further ones to files beside it.

    Args:
        path: File of the main table, such as results.csv.
        tables: The tables; one with the name "classes" goes to results-classes.csv.

    Returns:
        The files that were written.

    Raises:
        ConfigError: As `check_table_file`.
    """
    check_table_file(path)
    to_text = FORMATS[path.suffix.lower()]
    written = []
    for table in tables:
        file = path.with_stem(f"{path.stem}-{table.name}") if table.name else path
        write_text(file, to_text(table))
        written.append(file)
    return written
