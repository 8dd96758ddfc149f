"""RAF-DB's label list, in its official form and in those that circulate."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

from ke2nt.datasets.base import list_entries
from ke2nt.datasets.tables import read_integer
from ke2nt.datasets.text_files import location, portable_path, read_lines
from ke2nt.datasets.unknown_codes import describe_numbers, unknown_codes_error
from ke2nt.errors import DataError
from ke2nt.labels import COMPOUND_LABELS, DATASET_LABELS

__all__ = [
    "ListRow",
    "find_list",
    "find_split_lists",
    "has_compound_labels",
    "read_label_list",
]

# The official release misspells "partition"
_NAMES = ("list_patition_label.txt", "list_partition_label.txt")
_SUFFIXES = (".jpg", ".jpeg", ".png")
_ALIGNED = "_aligned"
_HEADINGS = ("name", "image", "img", "file", "filename", "path", "image_name")
_LIST_FOLDERS = ("list", "lists", "EmoLabel")


@dataclass(frozen=True, slots=True)
class ListRow:
    """One line of the list.

    Attributes:
        image: The image as the list names it, with forward slashes.
        label: Class index.
    """

    image: Path
    label: int

    @property
    def stem(self) -> str:
        """The image's name without suffix and without "_aligned"."""
        stem = self.image.stem if self.image.suffix.lower() in _SUFFIXES else self.image.name
        return stem.removesuffix(_ALIGNED)

    def locate(self, top: Path, images: str) -> Path:
        """The image below the dataset's folder; the official path if no file is found."""
        suffix = self.image.suffix if self.image.suffix.lower() in _SUFFIXES else ".jpg"
        folder = top / "Image" / images
        aligned = images == "aligned"
        official = folder / f"{self.stem}{_ALIGNED if aligned else ''}{suffix}"
        if os.path.isfile(official):
            return official

        # aligned images may lack the word in their names, and images may lie beside the list
        others = [folder / f"{self.stem}{suffix}"] if aligned else []
        stated = top / self.image  # an absolute path replaces the folder
        others += [stated] if stated.is_relative_to(top) else []
        others += [top / images / official.name, top / official.name]
        return next((path for path in others if os.path.isfile(path)), official)


def find_list(root: Path) -> Path | None:
    """The label list below the dataset's folder, or in it."""
    files = [root / folder / name for folder in ("EmoLabel", "") for name in _NAMES]
    return next((path for path in files if path.is_file()), None)


def find_split_lists(root: Path) -> dict[str, Path]:
    """Split → its own list of paths and labels, such as train.txt or list/test_list.txt."""
    lists: dict[str, Path] = {}
    for folder in (root, *(root / name for name in _LIST_FOLDERS)):
        for path in list_entries(folder):
            split = next((s for s in ("train", "val", "test") if s in path.stem.lower()), None)
            if path.suffix.lower() == ".txt" and split is not None and _lists_images(path):
                lists.setdefault(split, path)
    return {split: lists[split] for split in ("train", "val", "test") if split in lists}


def has_compound_labels(path: Path) -> bool:
    """Whether a list has labels beyond those of the basic expressions."""
    try:
        labels = {part for _, text in read_lines(path) for part in _split_line(text)[1:2]}
    except DataError:
        return False
    beyond = range(len(DATASET_LABELS["rafdb"]) + 1, len(COMPOUND_LABELS) + 1)
    return any(str(number) in labels for number in beyond)


def read_label_list(
    path: Path,
    splits: Collection[str],
    classes: Sequence[str],
    *,
    first_label: int = 1,
    label_column: int | None = None,
    only: str | None = None,
) -> dict[str, list[ListRow]]:
    """Split → rows of a list of image names and labels.

    Args:
        path: The list.
        splits: First parts of the image names, such as "train" of train_00001.jpg.
        classes: Classes in the order of their numbers.
        first_label: Number of the first class.
        label_column: Which value after the name is the label, from 1; needed if there are several.
        only: The split of all images, whatever their names are.

    Raises:
        DataError: A line is damaged, a line has several values and none is chosen, or the labels
            are not those that count from `first_label`; all unknown ones are named.
    """
    lines = [(number, _split_line(text), text) for number, text in read_lines(path)]
    lines = [line for i, line in enumerate(lines) if not _is_heading(line[1], first=i == 0)]
    column = _choose_column(path, [parts for _, parts, _ in lines], label_column)

    rows: dict[str, list[ListRow]] = {split: [] for split in splits}
    unknown: list[tuple[int, str]] = []
    for number, parts, text in lines:
        # The split is the first part of the image's name
        image = portable_path(parts[0] if parts else "")
        split = only or image.name.split("_")[0].lower()
        if split not in rows or len(parts) <= column:
            raise DataError(
                "not a line of RAF-DB's label list",
                where=location(path, number),
                expected="an image name and a label, such as 'train_00001.jpg 5'",
                found=repr(text[:80]),
            )
        label = read_integer(parts[column], first_label, first_label + len(classes) - 1)
        if label is None:
            unknown.append((number, parts[column]))
        else:
            rows[split].append(ListRow(image, label - first_label))

    if unknown:
        texts = [text for _, text in unknown]
        known = {row.label for part in rows.values() for row in part}
        # a list that counts from 0 does not reach the last number
        from_zero = first_label == 1 and len(classes) - 1 not in known
        raise unknown_codes_error(
            texts,
            where=location(path, unknown[0][0]),
            expected=describe_numbers(classes, first_label),
            hint=_hint(texts, len(classes), from_zero=from_zero),
        )
    return rows


def _lists_images(path: Path) -> bool:
    """Whether the first line of a file names an image and numbers."""
    try:
        parts = _split_line(next((text for _, text in read_lines(path)), ""))
    except DataError:
        return False
    is_image = bool(parts) and Path(parts[0]).suffix.lower() in _SUFFIXES
    return is_image and len(parts) > 1 and all(part.isdecimal() for part in parts[1:])


def _split_line(text: str) -> list[str]:
    """Image name and values; a name with a suffix may hold blanks."""
    match = re.match(r"(.+?\.(?:jpe?g|png))[\s,;|]+(.*)", text, re.IGNORECASE)
    name, values = ([match[1]], match[2]) if match else ([], text)
    return name + [part for part in re.split(r"[\s,;|]+", values) if part]


def _is_heading(parts: Sequence[str], *, first: bool) -> bool:
    """Whether a line is a comment, or the first one names the columns."""
    if not parts or parts[0].startswith("#"):
        return bool(parts)
    return first and parts[0].lower() in _HEADINGS and not parts[-1].isdecimal()


def _choose_column(path: Path, lines: list[list[str]], chosen: int | None) -> int:
    """Position of the label in a line; an error if it is not clear."""
    lengths = Counter(len(parts) for parts in lines)
    if chosen is not None:
        if chosen < 1:
            raise DataError("label_column counts from 1", found=chosen)
        return chosen
    several = max(lengths, default=2)
    if several <= 2:
        return 1

    # say what the columns hold, as one of them is the label
    described = []
    for column in range(1, several):
        values = sorted({parts[column] for parts in lines if len(parts) > column})
        described.append(f"{column}: {', '.join(values[:8])}{' …' if len(values) > 8 else ''}")
    raise DataError(
        f"{lengths[several]} lines have {several - 1} values after the image name",
        where=path,
        expected="an image name and a label, such as 'train_00001.jpg 5'",
        found=f"values {'; '.join(described)}",
        hint="Name the value that is the label: --option label_column=1.",
    )


def _hint(texts: Collection[str], num_classes: int, *, from_zero: bool) -> str:
    """What unknown labels most likely mean."""
    hints = []
    if "0" in texts and from_zero:
        hints.append("If the list counts from 0 in the official order, add --option first_label=0.")
    if any(t.isdecimal() and num_classes < int(t) <= len(COMPOUND_LABELS) for t in texts):
        hints.append("If these are compound expressions, use the dataset rafdb_compound.")
    if any(re.search(r"[A-Za-z]", text) for text in texts):
        hints.append(
            "Write the numbers of RAF-DB, or a CSV with path,label for the dataset manifest."
        )
    return " ".join(hints) or "Correct or delete these lines: RAF-DB has no such class."
