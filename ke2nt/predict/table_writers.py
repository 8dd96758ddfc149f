"""Tables that grow row by row: CSV, JSON lines or Parquet, depending on the file's suffix."""

from __future__ import annotations

import csv
import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol, Self

from ke2nt.errors import ConfigError
from ke2nt.predict.result import FaceResult, column_names, column_types
from ke2nt.runtime.atomic import check_folder
from ke2nt.runtime.optional import import_optional

__all__ = [
    "WRITERS",
    "CsvWriter",
    "DeferredTable",
    "JsonLinesWriter",
    "ParquetWriter",
    "RowWriter",
    "check_table_path",
    "open_writer",
]

_ROW_GROUP = 4096


class RowWriter(Protocol):
    """A table file that grows row by row; a context manager that finishes it."""

    def write(self, row: FaceResult) -> None:
        """Add a row."""

    def __enter__(self) -> Self: ...

    def __exit__(self, *error: object) -> None: ...


class _TextWriter:
    """A text file that can be followed while it grows: each row is flushed."""

    def __init__(self, path: Path, classes: Sequence[str]) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = path.open("w", encoding="utf-8", newline="")
        self._classes = tuple(classes)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._file.close()


class CsvWriter(_TextWriter):
    """Comma-separated values with the columns of `column_names`; missing values are empty."""

    def __init__(self, path: Path, classes: Sequence[str]) -> None:
        super().__init__(path, classes)
        self._table = csv.DictWriter(self._file, column_names(classes))
        self._table.writeheader()

    def write(self, row: FaceResult) -> None:
        """Add a row."""
        self._table.writerow(row.to_row(self._classes))
        self._file.flush()


class JsonLinesWriter(_TextWriter):
    """One JSON object per line: `FaceResult.to_dict`."""

    def write(self, row: FaceResult) -> None:
        """Add a row."""
        text = json.dumps(row.to_dict(), ensure_ascii=False, allow_nan=False)
        self._file.write(text + "\n")
        self._file.flush()


class ParquetWriter:
    """Apache Parquet with typed columns; readable once it is closed."""

    def __init__(self, path: Path, classes: Sequence[str]) -> None:
        self._arrow: Any = import_optional("pyarrow", extra="tables", purpose="Parquet files")
        parquet: Any = import_optional("pyarrow.parquet", extra="tables", purpose="Parquet files")

        path.parent.mkdir(parents=True, exist_ok=True)
        self._classes = tuple(classes)
        self._schema = self._arrow.schema(list(column_types(classes).items()))
        self._file = parquet.ParquetWriter(path, self._schema)
        self._pending: list[dict[str, Any]] = []

    def write(self, row: FaceResult) -> None:
        """Add a row."""
        # Parquet is written in groups of rows
        self._pending.append(row.to_row(self._classes))
        if len(self._pending) >= _ROW_GROUP:
            self._flush()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._flush()
        self._file.close()

    def _flush(self) -> None:
        if self._pending:
            self._file.write_table(self._arrow.Table.from_pylist(self._pending, self._schema))
            self._pending = []


WRITERS: Mapping[str, Callable[[Path, Sequence[str]], RowWriter]] = {
    ".csv": CsvWriter,
    ".jsonl": JsonLinesWriter,
    ".ndjson": JsonLinesWriter,
    ".parquet": ParquetWriter,
}


class DeferredTable:
    """A table that is opened at the first readable result; a context manager like a `RowWriter`.

    If nothing can be read, an existing file stays as it was.

    Args:
        path: The file, see `open_writer`.
        classes: Class names in the order of the probabilities.
    """

    def __init__(self, path: Path, classes: Sequence[str]) -> None:
        self._path = path
        self._classes = tuple(classes)
        self._table: RowWriter | None = None
        self._pending: list[FaceResult] = []

    def write(self, row: FaceResult) -> None:
        """Add a row."""
        self._pending.append(row)
        # rows of unreadable files wait for the first readable one
        if self._table is None and row.status != "unreadable":
            self._table = open_writer(self._path, self._classes)

        if self._table is not None:
            with _name_in_errors(self._path):
                for pending in self._pending:
                    self._table.write(pending)
            self._pending = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        if self._table is not None:
            with _name_in_errors(self._path):
                self._table.__exit__(*error)


@contextmanager
def _name_in_errors(path: Path) -> Iterator[None]:
    """Let errors of writing, such as that of a full disk, name the file."""
    try:
        yield
    except OSError as error:
        if error.errno is not None and error.filename is None:
            error.filename = str(path)
        raise


def check_table_path(path: Path) -> None:
    """Check that a table can be written to a file, before there are rows to write.

    Raises:
        ConfigError: The suffix is unknown, or the file cannot be written.
        MissingExtraError: pyarrow, which Parquet files need, is not installed.
    """
    suffix = path.suffix.lower()
    if suffix not in WRITERS:
        raise ConfigError(
            f"no table format has the suffix {suffix!r}", expected=", ".join(WRITERS), where=path
        )
    if suffix == ".parquet":
        import_optional("pyarrow", extra="tables", purpose="Parquet files")

    if path.is_dir():
        raise ConfigError("cannot write the table", expected="a file", found="a folder", where=path)
    # a new file needs a folder that can be written
    is_writable_file = path.is_file() and os.access(path, os.W_OK)
    if not is_writable_file:
        check_folder(path.parent)


def open_writer(path: Path, classes: Sequence[str]) -> RowWriter:
    """Open the writer for the suffix of a file. An existing file is replaced.

    Raises:
        ConfigError: As `check_table_path`.
        MissingExtraError: As `check_table_path`.
    """
    check_table_path(path)
    return WRITERS[path.suffix.lower()](path, classes)
