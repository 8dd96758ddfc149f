"""RAF-DB, basic expressions (Li, Deng and Du, CVPR 2017)."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path, PurePosixPath

from ke2nt.data.sample import FaceSample
from ke2nt.datasets.base import Reader
from ke2nt.datasets.finding import Finding, make_finding
from ke2nt.datasets.fixed_classes import (
    FixedClassFolders,
    explain_fixed_classes,
    find_fixed_classes,
)
from ke2nt.datasets.foreign_paths import foreign_paths_note, localize_paths
from ke2nt.datasets.rafdb_folders import check_folders
from ke2nt.datasets.rafdb_list import (
    ListRow,
    find_list,
    find_split_lists,
    has_compound_labels,
    read_label_list,
)
from ke2nt.datasets.tables import parse_integer
from ke2nt.datasets.text_files import read_text
from ke2nt.errors import DataError
from ke2nt.labels import DATASET_LABELS

__all__ = ["RAFDB"]

_IMAGES = ("aligned", "original")

# Attribute → names by number
_ATTRIBUTES: Mapping[str, tuple[str, ...]] = {
    "gender": ("male", "female", "unsure"),
    "race": ("Caucasian", "African-American", "Asian"),
    "age": ("0-3", "4-19", "20-39", "40-69", "70+"),
}
_LANDMARK_NUMBERS = 10


class RAFDB(Reader):
    """RAF-DB in its official layout (the folder `basic`), with other lists, or as class folders.

    Gender, race and age group come from `Annotation/manual`, where that folder is present. The
    class folders `1` to `7` that circulate have the official numbers; the labels of the CSV files
    beside them are compared with the folders. Lists of one split each name images by their paths
    below the root; the RAF-DB 2.0 of cross-dataset papers circulates in this form.

    Args:
        root: Folder that holds `EmoLabel` and `Image`, the lists, or the class folders.
        images: "aligned" (100 px face crops) or "original" (whole photographs).
        first_label: Number of the first class in the list, 1 by default; 0 for lists that count
            from zero.
        label_column: Which value of a line is the label, from 1; needed where a line has several.
    """

    name = "rafdb"
    summary = (
        "Real-world faces from the Internet, 100 px aligned, 7 classes, demographic attributes"
    )
    expected_tree = (
        "EmoLabel/list_patition_label.txt\nImage/aligned/train_00001_aligned.jpg …\n"
        "Image/original/train_00001.jpg … (optional)\n"
        "Annotation/manual/train_00001_manu_attri.txt … (optional)\n"
        "or: train.txt and test.txt (path and label in each line; also below list/)\n"
        "or: train/1/….jpg … train/7/… and test/1/… (also below DATASET/, or with class words)"
    )
    classes: tuple[str, ...] = DATASET_LABELS["rafdb"]
    splits: tuple[str, ...] = ("train", "test")

    def __init__(
        self,
        root: str | Path | None,
        *,
        images: str = "aligned",
        first_label: int | None = None,
        label_column: int | None = None,
    ) -> None:
        if images not in _IMAGES:
            raise DataError(
                f"unknown images {images!r} for rafdb", expected=f"one of {', '.join(_IMAGES)}"
            )
        self.images, self.label_column = images, label_column
        self.first_label = 1 if first_label is None else first_label
        self._is_stated = first_label is not None
        super().__init__(root)
        self._foreign: list[str] = []

        # the list comes first: it names the split of every image
        self._list = find_list(self.root)
        self._lists = {} if self._list else find_split_lists(self.root)
        self._folders = None if self._list or self._lists else _find_folders(self.root)
        if self._lists:
            self.splits = tuple(self._lists)
        if self._folders is not None:
            self.splits, self.classes = self._folders.splits, self._folders.classes
            check_folders(self.root, self._folders, self.first_label)

    @classmethod
    def recognizes(cls, root: Path) -> bool:
        if find_list(root) is not None or find_split_lists(root):
            return True
        return _find_folders(root) is not None

    def remarks(self) -> Iterable[Finding]:
        if self._folders is not None:
            yield from self._folders.findings()
            return
        labels = {row.label for rows in self._rows.values() for row in rows}
        if self._foreign:
            yield foreign_paths_note(self._foreign)
        if not self._is_stated and len(self.classes) - 1 not in labels:
            message = f"the list has no label {len(self.classes)}, and is read as counting from 1"
            hint = "If it counts from 0, add --option first_label=0."
            yield make_finding("warning", "first_label", message, [str(self.root)], hint)

    @classmethod
    def is_likely(cls, root: Path) -> bool:
        # lists of single splits are those of many datasets
        file = find_list(root)
        if file is not None:
            return not has_compound_labels(file)
        return _find_folders(root) is not None

    @classmethod
    def explain(cls, root: Path) -> str | None:
        return explain_fixed_classes(root, cls.name)

    def read_samples(self, split: str) -> Iterable[FaceSample]:
        if self._folders is None:
            yield from self._read_list(split)
            return
        for path, label in self._folders.samples(split):
            yield FaceSample(self.relative(path), path, label)

    def _read_list(self, split: str) -> Iterator[FaceSample]:
        top = self._top
        annotations = top / "Annotation" / "manual"
        has_attributes = annotations.is_dir()

        for row in self._rows[split]:
            path = row.locate(top, self.images)
            file = annotations / f"{row.stem}_manu_attri.txt"
            attributes = _read_attributes(file) if has_attributes and os.path.isfile(file) else {}
            yield FaceSample(self.relative(path), path, row.label, attributes=attributes)

    @property
    def _top(self) -> Path:
        """The folder that the official list belongs to, or the root."""
        if self._list is not None and self._list.parent.name == "EmoLabel":
            return self._list.parent.parent
        return self.root

    @cached_property
    def _rows(self) -> dict[str, list[ListRow]]:
        # one list for all splits, or one for each
        lists = {None: self._list} if self._list is not None else self._lists
        rows: dict[str, list[ListRow]] = {}
        for split, path in lists.items():
            part = read_label_list(
                path,
                self.splits if split is None else (split,),
                self.classes,
                first_label=self.first_label,
                label_column=self.label_column,
                only=split,
            )
            rows |= {name: self._localize(found, path) for name, found in part.items()}

        # six numbers from 1 on are all classes but the last, or all but the first
        labels = {row.label for part in rows.values() for row in part}
        if not self._is_stated and labels == set(range(len(self.classes) - 1)):
            raise DataError(
                "the labels are 1 to 6, so that it is unclear whether they count from 0 or from 1",
                where=self._list or self.root,
                expected="the numbers 1 to 7, or 0 to 6 with --option first_label=0",
                hint="If no face is neutral (7), add --option first_label=1; if they count from 0, "
                "--option first_label=0.",
            )
        return rows

    def _localize(self, rows: Sequence[ListRow], where: Path) -> list[ListRow]:
        """Make absolute paths of another computer relative to the folder here."""

        def exists(path: PurePosixPath) -> bool:
            return os.path.isfile(ListRow(Path(path), 0).locate(self._top, self.images))

        stated = [row.image.as_posix() for row in rows]
        paths = localize_paths(stated, exists, where=where)
        self._foreign += [a for a, b in zip(stated, paths, strict=True) if a != b]
        return [ListRow(Path(path), row.label) for row, path in zip(rows, paths, strict=True)]


def _find_folders(root: Path) -> FixedClassFolders | None:
    # DATASET/ may lie beside other folders
    for candidate in (root, root / "DATASET"):
        folders = find_fixed_classes(candidate, "rafdb")
        if folders is not None:
            return folders
    return None


def _read_attributes(path: Path) -> dict[str, str]:
    """Gender, race and age group: the three numbers after the five lines of landmarks."""
    # ten landmark coordinates, then three codes
    numbers = read_text(path).split()
    codes = numbers[_LANDMARK_NUMBERS:]
    if len(codes) != len(_ATTRIBUTES):
        raise DataError(
            "not an annotation of RAF-DB",
            where=path,
            expected="five lines of two coordinates, then gender, race and age group",
            found=f"{len(numbers)} numbers" if codes else "too few numbers",
        )
    return {
        key: names[parse_integer(code, where=f"{path}, {key}", low=0, high=len(names) - 1)]
        for (key, names), code in zip(_ATTRIBUTES.items(), codes, strict=True)
    }
