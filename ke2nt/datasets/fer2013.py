"""FER2013 (Goodfellow et al., ICML 2013 challenges, arXiv 1307.0414)."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cached_property
from pathlib import Path

from ke2nt.data.sample import FaceSample
from ke2nt.datasets.base import Reader
from ke2nt.datasets.fer2013_table import (
    PixelRow,
    find_pixel_table,
    find_split_tables,
    read_pixel_table,
)
from ke2nt.datasets.finding import Finding, make_finding
from ke2nt.datasets.fixed_classes import explain_fixed_classes, find_fixed_classes
from ke2nt.datasets.tables import read_header
from ke2nt.labels import DATASET_LABELS

__all__ = ["FER2013"]

_CK_HINT = "8 labels are those of ckextended.csv, which the dataset ckplus reads."


class FER2013(Reader):
    """FER2013 as one CSV with pixels, as the challenge's files, or as one folder per class.

    The CSV has train, val (PublicTest) and test (PrivateTest). The challenge's test.csv has no
    labels and is left out. The usual folder release has train and test only; its test holds both
    the public and the private test. Class folders may have words or the numbers 0 to 6.

    Args:
        root: Folder that holds the CSV, or the folders `train` and `test`.
    """

    name = "fer2013"
    summary = "Faces from web search, 48 px gray, 7 classes, noisy labels"
    expected_tree = (
        "fer2013.csv or icml_face_data.csv (columns emotion, pixels, Usage)\n"
        "or: train.csv (columns emotion, pixels)\n"
        "or: train/angry/….jpg …\ntest/angry/….jpg …"
    )
    classes: tuple[str, ...] = DATASET_LABELS["fer2013"]
    splits: tuple[str, ...] = ("train", "val", "test")

    def __init__(self, root: str | Path | None) -> None:
        super().__init__(root)
        # the CSV comes first: its splits are the official ones
        self._table = find_pixel_table(self.root)
        self._tables = {} if self._table else find_split_tables(self.root)
        self._folders = None
        if self._tables:
            labeled = [s for s, path in self._tables.items() if "emotion" in read_header(path)]
            self.splits = tuple(labeled)
        elif self._table is None:
            self._folders = find_fixed_classes(self.root, self.name)
        if self._folders is not None:
            self.splits, self.classes = self._folders.splits, self._folders.classes

    @classmethod
    def recognizes(cls, root: Path) -> bool:
        if find_pixel_table(root) is not None or find_split_tables(root):
            return True
        return find_fixed_classes(root, cls.name) is not None

    @classmethod
    def explain(cls, root: Path) -> str | None:
        return explain_fixed_classes(root, cls.name)

    def read_samples(self, split: str) -> Iterable[FaceSample]:
        if self._folders is None:
            for row in self._rows[split]:
                yield FaceSample(row.name, row.source(), row.label)
            return
        for path, label in self._folders.samples(split):
            yield FaceSample(self.relative(path), path, label)

    def remarks(self) -> Iterable[Finding]:
        if self._folders is not None:
            yield from self._folders.findings()
        unlabeled = [p.name for s, p in self._tables.items() if s not in self.splits]
        if unlabeled:
            message = f"{', '.join(unlabeled)} has no labels and is left out"
            hint = "icml_face_data.csv of the same challenge has the labels of all splits."
            yield make_finding("note", "unlabeled", message, unlabeled, hint)

    @cached_property
    def _rows(self) -> dict[str, list[PixelRow]]:
        """Split → rows of the tables."""
        rows: dict[str, list[PixelRow]] = {split: [] for split in self.splits}
        if self._table is not None:
            for row in read_pixel_table(self._table, hint=_CK_HINT):
                rows[row.split].append(row)
        for split in self._tables.keys() & rows.keys():
            rows[split] += read_pixel_table(self._tables[split], split=split, hint=_CK_HINT)
        return rows
