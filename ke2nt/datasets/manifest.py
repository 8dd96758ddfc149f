"""Faces listed in a CSV file."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from ke2nt.data.sample import FaceSample
from ke2nt.datasets.base import Reader
from ke2nt.datasets.class_folders import ALL, canonical_or_same, split_name
from ke2nt.datasets.folder import class_names
from ke2nt.datasets.tables import place, portable_path, read_table
from ke2nt.errors import DataError
from ke2nt.runtime.suggest import did_you_mean

__all__ = ["Manifest"]

_FILE = "manifest.csv"
_REQUIRED = ("path", "label")
_OPTIONAL = ("split", "subject")
_ATTRIBUTE = "attr:"


class Manifest(Reader):
    """A CSV with the columns path, label and, as wanted, split, subject and attr:NAME.

    Paths are relative to the manifest's folder, or absolute. Labels are class names; known
    expressions become canonical as in `ImageFolder`. Without a split column there is one split,
    `all`. An empty subject or attribute is unknown.

    Args:
        root: The CSV file, or a folder that holds `manifest.csv`.
        classes: Label set in index order, as a sequence or separated by commas. Other labels are
            an error.
    """

    name = "manifest"
    summary = "Any images listed in a CSV: path, label, and as wanted split, subject, attr:NAME"
    expected_tree = "manifest.csv (columns path, label[, split, subject, attr:NAME …])"
    classes: tuple[str, ...] = ()
    splits: tuple[str, ...] = ()

    def __init__(
        self, root: str | Path | None, *, classes: str | Sequence[str] | None = None
    ) -> None:
        super().__init__(root)
        self._file = _manifest(self.root)
        rows = [(place(self._file, line), row) for line, row in read_table(self._file, _REQUIRED)]
        if not rows:
            raise DataError("the manifest lists no image", where=self._file)
        self._check_columns(rows[0][1])
        self._splits: dict[str, list[dict[str, str]]] = {}
        for where, row in rows:
            split = row.get("split", ALL)
            for column, value in (("path", row["path"]), ("label", row["label"]), ("split", split)):
                if not value:
                    raise DataError(f"the {column} is empty", where=where)
            self._splits.setdefault(split_name(split), []).append(row)
        self.splits = tuple(self._splits)
        self.classes = class_names(classes, [row["label"] for _, row in rows], where=self._file)

    @classmethod
    def recognizes(cls, root: Path) -> bool:
        return _manifest(root).is_file()

    def _check_columns(self, columns: Iterable[str]) -> None:
        known = (*_REQUIRED, *_OPTIONAL)
        for name in columns:
            attribute = name.startswith(_ATTRIBUTE) and name != _ATTRIBUTE
            if name not in known and not attribute:
                raise DataError(
                    f"unknown column {name!r}",
                    where=place(self._file, 1),
                    expected=f"{', '.join(known)} or {_ATTRIBUTE}NAME",
                    hint=did_you_mean(name, known),
                )

    def read_samples(self, split: str) -> Iterable[FaceSample]:
        for row in self._splits[split]:
            path = portable_path(row["path"])
            yield FaceSample(
                name=path.as_posix(),
                source=self._file.parent / path,
                label=self.classes.index(canonical_or_same(row["label"], self.classes)),
                subject=row.get("subject") or None,
                attributes={
                    key.removeprefix(_ATTRIBUTE): value
                    for key, value in row.items()
                    if key.startswith(_ATTRIBUTE) and value
                },
            )


def _manifest(root: Path) -> Path:
    return root / _FILE if root.is_dir() else root
