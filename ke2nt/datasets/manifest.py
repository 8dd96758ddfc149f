"""The reader "manifest": faces listed in a CSV file."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from ke2nt.data.sample import FaceSample
from ke2nt.datasets.base import Reader
from ke2nt.datasets.class_folders import ALL, canonical_or_same, normalize_split_name
from ke2nt.datasets.folder import resolve_classes
from ke2nt.datasets.tables import location, portable_path, read_table
from ke2nt.errors import DataError
from ke2nt.runtime.suggest import did_you_mean

__all__ = ["Manifest"]

_FILE = "manifest.csv"
_REQUIRED = ("path", "label")
_OPTIONAL = ("split", "subject")
_ATTRIBUTE = "attr:"


class Manifest(Reader):
    """A CSV with the columns path, label and, optionally, split, subject and attr:NAME.

    Paths are relative to the manifest's folder, or absolute. Labels are class names; known
    expressions become canonical as in `ImageFolder`. Without a split column there is one split,
    `all`. An empty subject or attribute is unknown.

    Args:
        root: The CSV file, or a folder that holds `manifest.csv`.
        classes: Label set in index order, as a sequence or separated by commas. Other labels are
            an error.
    """

    name = "manifest"
    summary = "Any images listed in a CSV: path, label, and optionally split, subject, attr:NAME"
    expected_tree = "manifest.csv (columns path, label[, split, subject, attr:NAME …])"
    classes: tuple[str, ...] = ()
    splits: tuple[str, ...] = ()

    def __init__(
        self, root: str | Path | None, *, classes: str | Sequence[str] | None = None
    ) -> None:
        super().__init__(root)
        self._file = _manifest_file(self.root)
        self._rows = self._read_rows()
        self.splits = tuple(self._rows)

        labels = [row["label"] for rows in self._rows.values() for row in rows]
        self.classes = resolve_classes(classes, labels, where=self._file)

    @classmethod
    def recognizes(cls, root: Path) -> bool:
        return _manifest_file(root).is_file()

    def read_samples(self, split: str) -> Iterable[FaceSample]:
        for row in self._rows[split]:
            # an absolute path replaces the folder of the manifest
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

    def _read_rows(self) -> dict[str, list[dict[str, str]]]:
        """Split → rows, the splits in order of first appearance."""
        numbered_rows = list(read_table(self._file, _REQUIRED))
        if not numbered_rows:
            raise DataError("the manifest lists no image", where=self._file)
        self._check_columns(numbered_rows[0][1])

        rows: dict[str, list[dict[str, str]]] = {}
        for line, row in numbered_rows:
            for column in (*_REQUIRED, "split"):
                if row.get(column) == "":
                    raise DataError(f"the {column} is empty", where=location(self._file, line))
            split = normalize_split_name(row.get("split", ALL))
            rows.setdefault(split, []).append(row)
        return rows

    def _check_columns(self, columns: Iterable[str]) -> None:
        known = (*_REQUIRED, *_OPTIONAL)
        for name in columns:
            is_attribute = name.startswith(_ATTRIBUTE) and name != _ATTRIBUTE
            if name not in known and not is_attribute:
                raise DataError(
                    f"unknown column {name!r}",
                    where=location(self._file, 1),
                    expected=f"{', '.join(known)} or {_ATTRIBUTE}NAME",
                    hint=did_you_mean(name, known),
                )


def _manifest_file(root: Path) -> Path:
    return root / _FILE if root.is_dir() else root
