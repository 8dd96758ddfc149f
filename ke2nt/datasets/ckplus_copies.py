"""Two copies of CK+ that circulate: the class folders CK+48, and ckextended.csv."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from ke2nt.data.sample import FaceSample
from ke2nt.datasets.class_folders import ALL, ClassTree, read_class_tree, walk_images
from ke2nt.datasets.class_words import canonical_or_same
from ke2nt.datasets.fer2013_table import read_pixel_table
from ke2nt.datasets.finding import Finding, make_finding
from ke2nt.datasets.fixed_classes import candidate_roots
from ke2nt.datasets.name_schemes import subject_pattern
from ke2nt.errors import DataError
from ke2nt.labels import DATASET_LABELS, NEUTRAL
from ke2nt.runtime.formatting import printable

__all__ = ["CKCopy", "find_ck_copy"]

_TABLE = "ckextended.csv"
# The table's own order: that of FER2013, then contempt
_TABLE_CLASSES = (*DATASET_LABELS["fer2013"], "contempt")


@dataclass(frozen=True)
class CKCopy:
    """One of the copies.

    Attributes:
        root: The dataset's folder.
        tree: The class folders, or None.
        table: The table of pixels, or None.
    """

    root: Path
    tree: ClassTree | None = None
    table: Path | None = None

    @property
    def has_neutral(self) -> bool:
        """Whether there are neutral faces."""
        if self.tree is None:
            return True
        return NEUTRAL in {_class_of(word) for word in self.tree.words()}

    @property
    def splits(self) -> tuple[str, ...]:
        """Splits that the copy itself names."""
        return () if self.table is None else ("train", "val", "test")

    def choose_splits(self, fold: int | None) -> tuple[str, ...]:
        """Splits of a reader.

        Raises:
            DataError: A fold is chosen where people are not known.
        """
        if self.table is None:
            return ("all",) if fold is None else ("train", "val", "test")
        if fold is not None:
            raise DataError(
                f"{_TABLE} does not tell people, so that there are no folds",
                where=self.root,
                hint="Leave the fold out to use the splits of the file, or get the class folders "
                "CK+48 or the official sequences.",
            )
        return self.splits

    def read(self, split: str | None, classes: Sequence[str]) -> Iterator[FaceSample]:
        """Samples of a split, or all of them."""
        for sample, name, part in self._read_all():
            if name in classes and split in (None, part):
                yield FaceSample(
                    sample.name, sample.source, classes.index(name), subject=sample.subject
                )

    def findings(self) -> Iterable[Finding]:
        """Remarks on how the copy is read."""
        if self.table is not None:
            message = f"{_TABLE} does not tell people: faces of one person are in several splits"
            hint = "Accuracy on its test split is too high; use the class folders CK+48 instead."
            yield make_finding("warning", "subject_leakage", message, [_TABLE], hint)
        if self.tree is not None:
            yield from self.tree.findings()
            nameless = [sample.name for sample, _, _ in self._read_all() if sample.subject is None]
            if nameless:
                message = f"{len(nameless)} images do not tell the person by their names"
                hint = "Folds need it: name them as S010_004_00000017.png, or remove them."
                yield make_finding("warning", "no_subject", message, nameless, hint)

    def _read_all(self) -> Iterator[tuple[FaceSample, str, str]]:
        """Sample, class and split of each face."""
        if self.table is not None:
            for row in read_pixel_table(self.table, _TABLE_CLASSES):
                yield FaceSample(row.name, row.source(), 0), _TABLE_CLASSES[row.label], row.split
            return

        assert self.tree is not None
        pattern = subject_pattern("ckplus")
        for word, path in self.tree.images(ALL):
            match = pattern.match(path.name)
            name = printable(path.relative_to(self.root).as_posix())
            subject = match[1] if match else None
            yield FaceSample(name, path, 0, subject=subject), _class_of(word), ALL


def find_ck_copy(root: Path) -> CKCopy | None:
    """One of the copies at a root, or in the only folder there."""
    for candidate in candidate_roots(root):
        if (candidate / _TABLE).is_file():
            return CKCopy(root, table=candidate / _TABLE)
        tree = read_class_tree(candidate)
        if _is_ck48(tree):
            return CKCopy(root, tree=tree)
    return None


def _is_ck48(tree: ClassTree) -> bool:
    """Whether class folders without splits hold images named as those of CK+."""
    folders = tree.splits.get(ALL, [])
    if not folders or not all(_class_of(f.name) in DATASET_LABELS["ckplus"] for f in folders):
        return False
    # one image of each folder is enough
    first = [next(walk_images(folder), None) for folder in folders]
    pattern = subject_pattern("ckplus")
    return all(path is not None and pattern.match(path.name) for path in first)


def _class_of(word: str) -> str:
    return canonical_or_same(word, DATASET_LABELS["ckplus"])
