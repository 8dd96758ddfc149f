"""AffectNet as class folders, with or without a table of labels, and as YOLO text files."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ke2nt.data.sample import FaceSample
from ke2nt.datasets.class_words import canonical_or_same
from ke2nt.datasets.finding import Finding
from ke2nt.datasets.fixed_classes import FixedClassFolders, find_fixed_classes
from ke2nt.datasets.tables import read_header, read_table
from ke2nt.datasets.text_files import portable_path
from ke2nt.datasets.yolo_files import YoloFolders, background_finding, find_yolo
from ke2nt.errors import DataError
from ke2nt.labels import DATASET_LABELS
from ke2nt.runtime.formatting import printable

__all__ = ["AffectNetCopy", "find_affectnet_copy"]

# What AffectNet's annotators chose beside the eight expressions
_NO_CLASS = ("none", "uncertain", "no-face", "noface", "no face", "non-face")
_NO_CLASS_CODES = (8, 9, 10, 11)
_TABLE = "labels.csv"
_TABLE_COLUMNS = ("pth", "label")


@dataclass(frozen=True)
class AffectNetCopy:
    """One of the forms.

    Attributes:
        root: The dataset's folder.
        folders: Class folders, or None.
        yolo: YOLO's folders, or None.
        names: YOLO's class numbers → class words.
    """

    root: Path
    folders: FixedClassFolders | None = None
    yolo: YoloFolders | None = None
    names: Sequence[str] = ()

    @property
    def splits(self) -> tuple[str, ...]:
        """Splits in the usual order."""
        if self.folders is not None:
            return self.folders.splits
        return tuple(self.yolo.splits) if self.yolo else ()

    def read(self, split: str, classes: Sequence[str]) -> Iterator[FaceSample]:
        """Samples of a split that have one of the classes."""
        if self.folders is not None:
            for path, label in self.folders.samples(split):
                yield FaceSample(self._name(path), path, label)
            return
        assert self.yolo is not None
        for face in self.yolo.read(split, len(self.names)):
            word = canonical_or_same(self.names[face.number], classes)
            if word in classes:
                source = face.source(0.0)
                yield FaceSample(self._name(face.image), source, classes.index(word))

    def findings(self) -> list[Finding]:
        """Remarks on how the copy is read."""
        if self.folders is not None:
            return self.folders.findings()
        assert self.yolo is not None
        faces = {s: list(self.yolo.read(s, len(self.names))) for s in self.splits}
        return list(background_finding(self.yolo, faces))

    def check_table(self) -> None:
        """Compare class folders with labels.csv beside them.

        Raises:
            DataError: Some images have another label there.
        """
        if self.folders is None:
            return

        # one wrong label is enough to know that it is unclear which of the two is right
        labels = _read_table(self.folders.tree.root)
        other = [
            path
            for split in self.splits
            for path, label in self.folders.samples(split)
            if self._differs(path, self.folders.classes[label], labels)
        ]

        if other:
            table = self.folders.tree.root / _TABLE
            raise DataError(
                f"{len(other)} images have another label in {_TABLE} than their class folder",
                where=self.root,
                expected="the same labels in both",
                found=self._name(other[0]),
                hint=f"To read the table, use the dataset manifest with {table}; to read the "
                "folders, use the dataset folder.",
            )

    def _differs(self, path: Path, name: str, labels: Mapping[str, str]) -> bool:
        assert self.folders is not None
        key = path.relative_to(self.folders.tree.root).as_posix()
        return labels.get(key, name) != name

    def _name(self, path: Path) -> str:
        return printable(path.relative_to(self.root).as_posix())


def find_affectnet_copy(root: Path, dataset: str) -> AffectNetCopy | None:
    """AffectNet's class folders or YOLO files at a root.

    Args:
        root: The dataset's folder.
        dataset: "affectnet7" or "affectnet8". The first leaves contempt out.
    """
    seven = dataset == "affectnet7"
    folders = find_fixed_classes(
        root,
        dataset,
        left_out=(*_NO_CLASS, "contempt") if seven else _NO_CLASS,
        left_out_codes=(7, *_NO_CLASS_CODES) if seven else _NO_CLASS_CODES,
    )
    # eight words are needed for eight classes: seven are those of other datasets
    if folders is not None and (seven or "contempt" in folders.words.values()):
        return AffectNetCopy(root, folders=folders)

    yolo = find_yolo(root)
    names = yolo.read_names() if yolo is not None and _has_names(yolo) else []
    words = {canonical_or_same(name, DATASET_LABELS["affectnet8"]) for name in names}
    if set(DATASET_LABELS[dataset]) <= words <= {*DATASET_LABELS["affectnet8"], *_NO_CLASS}:
        return AffectNetCopy(root, yolo=yolo, names=names)
    return None


def _has_names(yolo: YoloFolders) -> bool:
    try:
        return bool(yolo.read_names())
    except DataError:
        return False


def _read_table(root: Path) -> dict[str, str]:
    """Image → class of labels.csv; {} without it."""
    path = root / _TABLE
    if not set(_TABLE_COLUMNS) <= set(read_header(path)):
        return {}
    classes = DATASET_LABELS["affectnet8"]
    return {
        portable_path(row["pth"]).as_posix(): canonical_or_same(row["label"], classes)
        for _, row in read_table(path, _TABLE_COLUMNS)
    }
