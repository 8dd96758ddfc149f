"""RAF-DB's class folders beside CSV files of labels: both must say the same."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from ke2nt.datasets.base import list_entries
from ke2nt.datasets.fixed_classes import FixedClassFolders
from ke2nt.datasets.tables import read_header, read_integer, read_table
from ke2nt.datasets.text_files import location, portable_path
from ke2nt.datasets.unknown_codes import describe_numbers, unknown_codes_error
from ke2nt.errors import DataError
from ke2nt.labels import DATASET_LABELS

__all__ = ["check_folders"]

_COLUMNS = ("image", "label")


def check_folders(root: Path, folders: FixedClassFolders, first_label: int) -> None:
    """Compare class folders with the CSV files of labels beside them.

    Raises:
        DataError: A number in the CSV files is unknown, or some images have another label there.
    """
    parents = dict.fromkeys([root, folders.tree.root.parent, folders.tree.root])
    tables = [
        path
        for parent in parents
        if parent.is_relative_to(root)
        for path in list_entries(parent)
        if path.suffix.lower() == ".csv" and set(_COLUMNS) <= set(read_header(path))
    ]
    labels: dict[str, int] = {}
    for table in tables:
        labels |= _read_labels(table, first_label)
    if labels:
        _compare(root, folders, labels)


def _read_labels(table: Path, first_label: int) -> dict[str, int]:
    """Image name → class index."""
    classes = DATASET_LABELS["rafdb"]
    last = first_label + len(classes) - 1
    labels: dict[str, int] = {}
    unknown: list[tuple[int, str]] = []
    for line, row in read_table(table, _COLUMNS):
        number = read_integer(row["label"], first_label, last)
        if number is None:
            unknown.append((line, row["label"]))
        else:
            labels[portable_path(row["image"]).name] = number - first_label

    if unknown:
        raise unknown_codes_error(
            [text for _, text in unknown],
            where=location(table, unknown[0][0]),
            expected=describe_numbers(classes, first_label),
            hint="Correct the CSV file, or delete it to read the folders.",
        )
    return labels


def _compare(root: Path, folders: FixedClassFolders, labels: Mapping[str, int]) -> None:
    other = [
        path
        for split in folders.splits
        for path, label in folders.samples(split)
        if labels.get(path.name, label) != label
    ]
    if other:
        raise DataError(
            f"{len(other)} images have another label in the CSV files than their class folder",
            where=root,
            expected="the same labels in both",
            found=str(other[0]),
            hint="Delete the CSV files to read the folders, or write a manifest from them.",
        )
