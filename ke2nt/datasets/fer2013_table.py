"""FER2013's tables: one row of pixels for each face."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import isqrt
from pathlib import Path

import numpy as np

from ke2nt.data.sample import DamagedImage
from ke2nt.datasets.tables import parse_usage, read_header, read_integer, read_table
from ke2nt.datasets.text_files import location
from ke2nt.datasets.unknown_codes import describe_numbers, unknown_codes_error
from ke2nt.labels import DATASET_LABELS

__all__ = ["PixelRow", "find_pixel_table", "find_split_tables", "parse_pixels", "read_pixel_table"]

_FILES = ("fer2013.csv", "icml_face_data.csv")
# The challenge's files of single splits; the one for the test has no labels
_SPLIT_FILES = {"train": "train.csv", "val": "val.csv", "test": "test.csv"}


@dataclass(frozen=True, slots=True)
class PixelRow:
    """One row.

    Attributes:
        line: Line number, from 1.
        split: "train", "val" or "test".
        label: Class index.
        text: Gray levels, separated by blanks.
        path: The table.
    """

    line: int
    split: str
    label: int
    text: str
    path: Path

    @property
    def name(self) -> str:
        return f"{self.path.name}:{self.line}"

    def source(self) -> np.ndarray | DamagedImage:
        """Pixels uint8 (S, S); what is there instead if they are damaged."""
        return parse_pixels(self.text, where=location(self.path, self.line))


def find_pixel_table(root: Path) -> Path | None:
    """The table with the pixels of all splits."""
    return next((root / name for name in _FILES if (root / name).is_file()), None)


def find_split_tables(root: Path) -> dict[str, Path]:
    """Split → the challenge's table of that split; {} unless one of them has labels."""
    paths = {split: root / name for split, name in _SPLIT_FILES.items()}
    tables = {split: path for split, path in paths.items() if "pixels" in read_header(path)}
    return tables if any("emotion" in read_header(path) for path in tables.values()) else {}


def read_pixel_table(
    path: Path,
    classes: Sequence[str] = DATASET_LABELS["fer2013"],
    *,
    split: str | None = None,
    hint: str | None = None,
) -> Iterator[PixelRow]:
    """Rows of a table; pixels are only parsed when they are needed.

    Args:
        path: The table.
        classes: Classes in the order of their numbers, from 0.
        split: Split of a table without the column Usage.
        hint: What a label of one more class most likely means.

    Raises:
        DataError: The table is damaged, or has numbers without a class; all of them are named.
    """
    last = len(classes) - 1
    columns = ("emotion", "pixels") if split else ("emotion", "pixels", "Usage")
    rows = read_table(path, columns)
    for line, row in rows:
        where = location(path, line)
        row_split = split or parse_usage(row["Usage"], where=where)
        label = read_integer(row["emotion"], 0, last)

        if label is None:
            # all rows before this one are right
            texts = [row["emotion"], *(later["emotion"] for _, later in rows)]
            unknown = [text for text in texts if read_integer(text, 0, last) is None]
            raise unknown_codes_error(
                unknown,
                where=where,
                expected=describe_numbers(classes),
                hint=hint if set(unknown) == {str(last + 1)} else "Correct or delete these rows.",
            )
        yield PixelRow(line, row_split, label, row["pixels"], path)


def parse_pixels(text: str, *, where: str) -> np.ndarray | DamagedImage:
    """Square uint8 image (S, S) from gray levels in a row, separated by blanks.

    Damaged pixels are an image that cannot be read: one bad row does not spoil the table.
    """
    # checked first, as NumPy would read the numbers before a stray character
    values = np.empty(0, dtype=np.int64)
    if re.fullmatch(r"[0-9]{1,3}( +[0-9]{1,3})*", text):
        values = np.fromstring(text, dtype=np.int64, sep=" ")

    side = isqrt(len(values))
    if side == 0 or side * side != len(values) or values.max() > 255:
        reason = f"{len(text.split())} values, not a square number of gray levels 0 to 255"
        return DamagedImage(where, reason)
    return values.astype(np.uint8).reshape(side, side)
