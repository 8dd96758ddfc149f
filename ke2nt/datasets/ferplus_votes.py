"""Where FER+'s votes and images are: the forms in which people have them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ke2nt.data.sample import DamagedImage
from ke2nt.datasets.base import list_folders
from ke2nt.datasets.fer2013_table import find_pixel_table, read_pixel_table
from ke2nt.datasets.tables import parse_integer, parse_usage, read_table
from ke2nt.datasets.text_files import location, portable_path
from ke2nt.errors import DataError
from ke2nt.labels import DATASET_LABELS

__all__ = ["VOTES_FILE", "VoteRow", "VotesForm", "find_votes"]

VOTES_FILE = "fer2013new.csv"
_FOLDERS = {"train": "FER2013Train", "val": "FER2013Valid", "test": "FER2013Test"}
_COLUMNS = (*DATASET_LABELS["ferplus"], "unknown", "NF")
# The votes files that lie beside the images have no header
_FOLDER_FILE = "label.csv"
_FOLDER_COLUMNS = ("Image name", "box", *_COLUMNS)
_MAX_VOTES = 1000


@dataclass(frozen=True, slots=True)
class VoteRow:
    """One image and its votes.

    Attributes:
        source: The image file, pixels uint8 (S, S), or what is there instead of pixels.
        votes: Ten counts: the eight expressions, "unknown" and "NF".
        name: Name of a sample whose pixels lie in a table; None for a file.
    """

    source: Path | np.ndarray | DamagedImage
    votes: tuple[int, ...]
    name: str | None = None


@dataclass(frozen=True)
class VotesForm:
    """Votes, and images in folders or in FER2013's table.

    Attributes:
        root: The dataset's folder.
        images: Folder that holds FER2013Train and the others.
        votes: The votes file of all splits, or None for one beside the images of each split.
        pixels: FER2013's table, if it takes the place of the image folders.
    """

    root: Path
    images: Path
    votes: Path | None
    pixels: Path | None

    def read(self) -> dict[str, list[VoteRow]]:
        """Split → rows, in the order of the files."""
        rows: dict[str, list[VoteRow]] = {split: [] for split in _FOLDERS}
        if self.votes is None:
            for split, folder in _FOLDERS.items():
                rows[split] += _read_folder(self.images / folder)
            return rows

        # the table of pixels has the same rows, in the same order
        pixels = None if self.pixels is None else _PixelRows(self.pixels, self.votes)
        for line, row in read_table(self.votes, ("Usage", "Image name", *_COLUMNS)):
            where = location(self.votes, line)
            split = parse_usage(row["Usage"], where=where)
            votes = _parse_votes(row, where)
            image = portable_path(row["Image name"]).name
            source = None if pixels is None else pixels.take(split, where)

            # FER+ removed the images without a name
            if not image:
                continue
            if source is not None:
                rows[split].append(VoteRow(source, votes, f"{_FOLDERS[split]}/{image}"))
            else:
                rows[split].append(VoteRow(self.images / _FOLDERS[split] / image, votes))
        if pixels is not None:
            pixels.check_finished()
        return rows


def find_votes(root: Path) -> VotesForm | None:
    """The votes and images below a root, or None if there are no votes.

    Images may lie in a subfolder, such as images/FER2013Train. Without image folders they are
    taken from fer2013.csv or icml_face_data.csv.
    """
    images = _find_images(root)
    file = root / VOTES_FILE
    if file.is_file():
        pixels = None if images is not None else find_pixel_table(root)
        return VotesForm(root, images or root, file, pixels)
    if images is not None and any((images / f / _FOLDER_FILE).is_file() for f in _FOLDERS.values()):
        return VotesForm(root, images, None, None)
    return None


def _find_images(root: Path) -> Path | None:
    """The folder that holds FER2013Train and the others: the root, or one in it."""
    candidates = [root, *list_folders(root)]
    return next((p for p in candidates if any((p / f).is_dir() for f in _FOLDERS.values())), None)


def _read_folder(folder: Path) -> Iterator[VoteRow]:
    """Rows of the votes file beside the images of a split; none without that file."""
    path = folder / _FOLDER_FILE
    if not os.path.isfile(path):
        return
    for line, row in read_table(path, ("Image name", *_COLUMNS), header=_FOLDER_COLUMNS):
        image = portable_path(row["Image name"]).name
        if image:
            yield VoteRow(folder / image, _parse_votes(row, location(path, line)))


def _parse_votes(row: dict[str, str], where: str) -> tuple[int, ...]:
    return tuple(
        parse_integer(row[name], where=f"{where}, column {name}", low=0, high=_MAX_VOTES)
        for name in _COLUMNS
    )


class _PixelRows:
    """FER2013's rows, taken one by one beside those of the votes file."""

    def __init__(self, table: Path, votes: Path) -> None:
        self._table, self._votes = table, votes
        self._rows = read_pixel_table(table)

    def take(self, split: str, where: str) -> np.ndarray | DamagedImage:
        """Pixels of the next row, which must be of the same split."""
        row = next(self._rows, None)
        if row is None or row.split != split:
            raise self._mismatch(where, "the end of the file" if row is None else row.split)
        return row.source()

    def check_finished(self) -> None:
        """Raise DataError if rows are left."""
        row = next(self._rows, None)
        if row is not None:
            raise self._mismatch(location(self._table, row.line), "more rows than votes")

    def _mismatch(self, where: str, found: str) -> DataError:
        return DataError(
            f"{self._table.name} does not have the rows of {self._votes.name}",
            where=where,
            expected="the same rows in the same order, as both files are published",
            found=found,
            hint="Use the whole fer2013.csv of the challenge, or the images as PNG files.",
        )
