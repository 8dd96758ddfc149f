"""FER2013 (Goodfellow et al., ICML 2013 challenges, arXiv 1307.0414)."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from functools import cached_property
from math import isqrt
from pathlib import Path

import numpy as np

from ke2nt.data.sample import FaceSample
from ke2nt.datasets.base import Reader
from ke2nt.datasets.class_folders import canonical_or_same, find_class_folders, list_images
from ke2nt.datasets.tables import location, parse_integer, parse_usage, read_table
from ke2nt.errors import DataError
from ke2nt.labels import DATASET_LABELS

__all__ = ["FER2013"]

_CSV_FILES = ("fer2013.csv", "icml_face_data.csv")


class FER2013(Reader):
    """FER2013 as one CSV with pixels, or as one folder per class.

    The CSV has train, val (PublicTest) and test (PrivateTest). The usual folder release has train
    and test only; its test holds both the public and the private test.

    Args:
        root: Folder that holds the CSV, or the folders `train` and `test`.
    """

    name = "fer2013"
    summary = "Faces from web search, 48 px gray, 7 classes, noisy labels"
    expected_tree = (
        "fer2013.csv or icml_face_data.csv (columns emotion, pixels, Usage)\n"
        "or: train/angry/….jpg …\ntest/angry/….jpg …"
    )
    classes: tuple[str, ...] = DATASET_LABELS["fer2013"]
    splits: tuple[str, ...] = ("train", "val", "test")

    def __init__(self, root: str | Path | None) -> None:
        super().__init__(root)
        self._csv_file = _find_csv_file(self.root)
        # the folder release has no val
        if self._csv_file is None:
            folders = find_class_folders(self.root)
            self.splits = tuple(split for split in type(self).splits if split in folders)

    @classmethod
    def recognizes(cls, root: Path) -> bool:
        if _find_csv_file(root) is not None:
            return True
        folders = find_class_folders(root)
        return any(split in folders for split in cls.splits)

    def read_samples(self, split: str) -> Iterable[FaceSample]:
        if self._csv_file is None:
            return self._read_folders(split)
        return self._read_csv(self._csv_file, split)

    def _read_folders(self, split: str) -> Iterator[FaceSample]:
        for folder in find_class_folders(self.root)[split]:
            name = canonical_or_same(folder.name, self.classes)
            if name not in self.classes:
                raise self.layout_error(f"the folder {folder} is not a class of fer2013")
            for path in list_images(folder):
                yield FaceSample(self.relative(path), path, self.classes.index(name))

    def _read_csv(self, path: Path, split: str) -> Iterator[FaceSample]:
        for line, label, text in self._rows[split]:
            pixels = _parse_pixels(text, where=location(path, line))
            yield FaceSample(f"{path.name}:{line}", pixels, label)

    @cached_property
    def _rows(self) -> dict[str, list[tuple[int, int, str]]]:
        """Split → line, label and pixel text of each row of the CSV."""
        path = self._csv_file
        assert path is not None
        rows: dict[str, list[tuple[int, int, str]]] = {split: [] for split in self.splits}
        for line, row in read_table(path, ("emotion", "pixels", "Usage")):
            where = location(path, line)
            split = parse_usage(row["Usage"], where=where)
            label = parse_integer(row["emotion"], where=where, low=0, high=len(self.classes) - 1)
            rows[split].append((line, label, row["pixels"]))
        return rows


def _find_csv_file(root: Path) -> Path | None:
    return next((root / name for name in _CSV_FILES if (root / name).is_file()), None)


def _parse_pixels(text: str, *, where: str) -> np.ndarray:
    """Square uint8 image (S, S) from gray levels in a row, separated by blanks."""
    # checked first, as NumPy would read the numbers before a stray character
    values = np.empty(0, dtype=np.int64)
    if re.fullmatch(r"[0-9]{1,3}( +[0-9]{1,3})*", text):
        values = np.fromstring(text, dtype=np.int64, sep=" ")

    side = isqrt(len(values))
    if side == 0 or side * side != len(values) or values.max() > 255:
        raise DataError(
            "not the pixels of a square image",
            where=where,
            expected="a square number of gray levels 0 to 255, separated by blanks",
            found=f"{len(text.split())} values",
        )
    return values.astype(np.uint8).reshape(side, side)
