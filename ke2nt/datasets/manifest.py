"""The reader "manifest": faces listed in a CSV file."""

from __future__ import annotations

import os
import posixpath
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

from ke2nt.data.sample import FaceSample
from ke2nt.datasets.base import Reader, list_entries
from ke2nt.datasets.class_folders import ALL, normalize_split_name
from ke2nt.datasets.class_words import resolve_words
from ke2nt.datasets.file_finder import FileFinder
from ke2nt.datasets.finding import Finding, make_finding
from ke2nt.datasets.foreign_paths import foreign_paths_note, is_absolute, localize_paths
from ke2nt.datasets.missing_images import explain_missing
from ke2nt.datasets.name_schemes import find_name_scheme
from ke2nt.datasets.tables import read_header, read_table
from ke2nt.datasets.text_files import location, portable_path
from ke2nt.errors import DataError, LayoutError
from ke2nt.runtime.formatting import printable
from ke2nt.runtime.suggest import nearest

__all__ = ["Manifest"]

_FILE = "manifest.csv"
_REQUIRED = ("path", "label")
_OPTIONAL = ("split", "subject")
_ATTRIBUTE = "attr:"
_ALIASES = {
    "path": (
        *("file", "filename", "file_name", "filepath", "file_path"),
        *("image", "image_path", "image_name", "img", "img_path", "img_name", "pth"),
        *("images", "image_file", "picture", "photo"),
    ),
    "label": (
        *("class", "class_name", "emotion", "expression", "category"),
        *("labels", "target", "emotion_label"),
    ),
    "split": ("usage", "subset", "partition", "original_split", "set"),
    "subject": ("person", "person_id", "subject_id", "identity"),
}
_ADDRESS = re.compile(r"(https?|ftp|s3|gs|hf)://", re.IGNORECASE)
_SUFFIXES = (".csv", ".tsv", ".txt")


class Manifest(Reader):
    """A CSV with the columns path, label and, optionally, split, subject and attr:NAME.

    Paths are relative to the manifest's folder, or absolute; a beginning that only another computer
    has is removed. Labels are class names; known expressions become canonical as in `ImageFolder`.
    Without a split column there is one split, `all`. An empty subject or attribute is unknown;
    other columns are attributes under their names.

    Args:
        root: The CSV file, or a folder that holds `manifest.csv`.
        classes: Label set in index order, as a sequence or separated by commas. Other labels are
            an error.
        codes: Dataset whose numbers the labels are, such as rafdb for 1 to 7.
    """

    name = "manifest"
    summary = "Any images listed in a CSV: path, label, and optionally split, subject, attr:NAME"
    expected_tree = "manifest.csv (columns path, label[, split, subject, attr:NAME …])"
    classes: tuple[str, ...] = ()
    splits: tuple[str, ...] = ()

    def __init__(
        self,
        root: str | Path | None,
        *,
        classes: str | Sequence[str] | None = None,
        codes: str | None = None,
    ) -> None:
        super().__init__(root)
        self._file = _manifest_file(self.root)
        self._finder = FileFinder(self._file.parent)
        self._extra: list[str] = []
        self._foreign: list[str] = []
        self._rows = self._read_rows()
        self.splits = tuple(self._rows)

        self._labels = [row["label"] for rows in self._rows.values() for row in rows]
        self._words = resolve_words(self._labels, where=self._file, classes=classes, codes=codes)
        self.classes = self._words.classes

    @classmethod
    def recognizes(cls, root: Path) -> bool:
        return _manifest_file(root).is_file()

    def read_samples(self, split: str) -> Iterable[FaceSample]:
        rows = self._rows[split]
        scheme = find_name_scheme(posixpath.basename(row["path"]) for row in rows)
        for row in rows:
            # people are read from file names only where the list does not name them
            match = scheme.match(posixpath.basename(row["path"])) if scheme else None
            subject = row.get("subject") or (match[1] if match and "subject" not in row else None)
            yield FaceSample(
                name=printable(posixpath.normpath(row["path"])),
                source=self._locate(row["path"]),
                label=self._words.index[row["label"]],
                subject=subject,
                attributes=self._attributes(row),
            )

    def remarks(self) -> Iterable[Finding]:
        yield from self._words.remarks(Counter(self._labels))
        if self._foreign:
            yield foreign_paths_note(self._foreign)
        if self._extra:
            message = f"columns are read as attributes: {', '.join(self._extra)}"
            hint = "Accuracy by attribute: ke2nt evaluate … --by NAME."
            yield make_finding("note", "attribute_columns", message, self._extra, hint)

    def layout_error(self, message: str, *, hint: str | None = None) -> LayoutError:
        # the list is there, but its images are not; or a folder holds it under another name
        if hint is None and _manifest_file(self.root).is_file():
            paths = [row["path"] for rows in self._rows.values() for row in rows]
            hint = explain_missing(_manifest_file(self.root).parent, paths)
            return super().layout_error(message, hint=hint)
        lists = _find_lists(self.root) if hint is None else []
        if lists:
            hint = f"Name the file itself: {lists[0]}"
        return super().layout_error(message, hint=hint)

    def _locate(self, path: str) -> Path:
        if is_absolute(path):
            return Path(path)
        return self._finder.find(path)

    def _attributes(self, row: dict[str, str]) -> dict[str, str]:
        named = {key: value for key, value in row.items() if key not in (*_REQUIRED, *_OPTIONAL)}
        return {key.removeprefix(_ATTRIBUTE): value for key, value in named.items() if value}

    def _read_rows(self) -> dict[str, list[dict[str, str]]]:
        """Split → rows, the splits in order of first appearance."""
        numbered_rows = list(read_table(self._file, _REQUIRED, aliases=_ALIASES))
        if not numbered_rows:
            raise DataError("the manifest lists no image", where=self._file)
        self._check_columns(numbered_rows[0][1])

        # a cell may be empty only where a value may be unknown
        for line, row in numbered_rows:
            for column in (*_REQUIRED, "split"):
                if row.get(column) == "":
                    raise DataError(
                        f"the {column} is empty",
                        where=location(self._file, line),
                        hint="Fill it in, or delete the row.",
                    )
        self._refuse_addresses(numbered_rows)
        stated = [portable_path(row["path"]).as_posix() for _, row in numbered_rows]
        paths = localize_paths(
            stated, lambda path: self._finder.find(path).is_file(), where=self._file
        )
        self._foreign = [a for a, b in zip(stated, paths, strict=True) if a != b]

        rows: dict[str, list[dict[str, str]]] = {}
        for (_, row), path in zip(numbered_rows, paths, strict=True):
            split = normalize_split_name(row.get("split", ALL))
            rows.setdefault(split, []).append({**row, "path": path})
        return rows

    def _refuse_addresses(self, numbered_rows: Sequence[tuple[int, dict[str, str]]]) -> None:
        """Refuse images on the internet: nothing is downloaded."""
        remote = [(n, row["path"]) for n, row in numbered_rows if _ADDRESS.match(row["path"])]
        if remote:
            line, path = remote[0]
            raise DataError(
                f"{len(remote)} images are addresses, and nothing is downloaded",
                where=location(self._file, line),
                expected="paths of files",
                found=path,
                hint="Download the images, and write their paths in place of the addresses.",
            )

    def _check_columns(self, columns: Iterable[str]) -> None:
        """Refuse a column that seems a slip; others are attributes."""
        known = (*_REQUIRED, *_OPTIONAL)
        for name in columns:
            if name in known or (name.startswith(_ATTRIBUTE) and name != _ATTRIBUTE):
                continue
            near = nearest(name.lower(), known, cutoff=0.6)
            if near is not None or name == _ATTRIBUTE:
                raise DataError(
                    f"unknown column {name!r}",
                    where=location(self._file, 1),
                    expected=f"{', '.join(known)} or {_ATTRIBUTE}NAME",
                    hint=f"Did you mean {near!r}? If not, name it {_ATTRIBUTE}{name}."
                    if near
                    else None,
                )
            self._extra.append(name)


def _manifest_file(root: Path) -> Path:
    return root / _FILE if root.is_dir() else root


def _find_lists(root: Path) -> list[Path]:
    """Tables in a folder that have columns for image and label."""
    files = [p for p in list_entries(root) if p.suffix.lower() in _SUFFIXES and os.path.isfile(p)]
    return [path for path in files if _has_columns(read_header(path))]


def _has_columns(header: Sequence[str]) -> bool:
    return all(any(name in header for name in (key, *_ALIASES[key])) for key in _REQUIRED)
