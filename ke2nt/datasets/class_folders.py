"""Images sorted into one folder per class, with or without a folder per split above."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from ke2nt.data.picture_formats import is_image_name
from ke2nt.datasets.base import list_entries, list_folders
from ke2nt.datasets.class_words import canonical_or_same
from ke2nt.datasets.finding import Finding, make_finding
from ke2nt.labels import CANONICAL
from ke2nt.runtime.formatting import first_few, printable

__all__ = [
    "ALL",
    "ClassTree",
    "find_class_folders",
    "list_images",
    "normalize_split_name",
    "read_class_tree",
    "walk_images",
]

ALL = "all"
_MAX_DEPTH = 3
# Other names of the usual splits
_SPLIT_NAMES: Mapping[str, str] = {
    "train": "train",
    "training": "train",
    "train_set": "train",
    "trainset": "train",
    "val": "val",
    "valid": "val",
    "validation": "val",
    "val_set": "val",
    "dev": "val",
    "publictest": "val",
    "test": "test",
    "testing": "test",
    "test_set": "test",
    "privatetest": "test",
    "fer2013train": "train",
    "fer2013valid": "val",
    "fer2013test": "test",
}
# Folders between a split and its classes
_IMAGE_FOLDERS = ("images", "image", "imgs", "img", "faces")
# Files beside images that hold no picture
_SIDE_FILES = (
    *(".txt", ".csv", ".tsv", ".json", ".xml", ".yaml", ".yml", ".md", ".npy", ".npz", ".mat"),
    *(".db", ".ini", ".html", ".pdf", ".pts", ".lst", ".py", ".log", ".zip", ".xlsx"),
)

ClassFolders = dict[str, list[Path]]


@dataclass(frozen=True)
class ClassTree:
    """Class folders of a dataset.

    Attributes:
        root: Folder above the splits or classes.
        splits: Split → class folders; the one split "all" where classes lie at the top.
        unlabeled: Folders with the name of a split whose images lie in no class folder.
    """

    root: Path
    splits: ClassFolders
    unlabeled: tuple[Path, ...] = ()

    def words(self) -> list[str]:
        """The class word of every class folder; a word comes once for each split."""
        return [printable(f.name) for folders in self.splits.values() for f in folders]

    def images(self, split: str) -> Iterator[tuple[str, Path]]:
        """Class word and image of each sample of a split."""
        for folder in self.splits[split]:
            for path in walk_images(folder):
                yield printable(folder.name), path

    def findings(self) -> list[Finding]:
        """Remarks on what is in the folders but is not read."""
        findings = []
        if self.unlabeled:
            names = [printable(folder.name) for folder in self.unlabeled]
            message = f"images in no class folder are left out: {first_few(names)}"
            hint = "A split without labels can neither be learned from nor be evaluated on."
            findings.append(make_finding("note", "unlabeled", message, names, hint))

        # class folders without a picture would vanish without a word
        empty = [f for f in self._siblings() if not any(is_image_name(p) for p in _walk(f))]
        if empty:
            names = [f"{f.relative_to(self.root).as_posix()} ({_describe(f)})" for f in empty]
            message = f"{len(empty)} class folders hold no image: {first_few(names)}"
            hint = "The class is lost: convert its files to PNG or JPEG, or unpack them."
            findings.append(make_finding("warning", "empty_class", message, names, hint))

        others = [p for f in self._class_folders() for p in _walk(f) if _is_left_out(p)]
        if others:
            names = [path.relative_to(self.root).as_posix() for path in others]
            message = f"{len(others)} files are left out, as their names are not those of images"
            hint = f"Suffixes: {_count_suffixes(others)}. Convert pictures among them to PNG."
            findings.append(make_finding("warning", "not_images", message, names, hint))
        return findings

    def _class_folders(self) -> list[Path]:
        return [folder for folders in self.splits.values() for folder in folders]

    def _siblings(self) -> list[Path]:
        """Folders beside class folders that are none, since they hold no image."""
        known = set(self._class_folders())
        parents = {folder.parent for folder in known}
        beside = [f for parent in sorted(parents) for f in list_folders(parent) if f not in known]
        return [folder for folder in beside if folder not in {p for k in known for p in k.parents}]


def read_class_tree(root: Path) -> ClassTree:
    """Find the class folders of a dataset; no splits if there are none.

    A folder with the name of an expression is a class, with all images in and below it. Another
    folder is a class if it holds images directly, and a split if it holds such folders.
    """
    direct, nested = [], {}
    for folder in list_folders(root):
        inside = [child for child in list_folders(_inner(folder)) if _is_class(child)]
        if inside:
            nested[folder] = inside
        if _has_images(folder):
            direct.append(folder)

    # expressions at the top: what is below them are batches, people or videos
    tops = dict.fromkeys([*direct, *nested])
    if tops and all(_is_expression(folder.name) for folder in tops):
        return ClassTree(root, {ALL: sorted(tops)})
    if not nested:
        return ClassTree(root, {ALL: direct} if direct else {})

    # images beside split folders: it is unclear which layout is meant, unless they are splits
    unlabeled = tuple(f for f in direct if _is_split(f.name) and f not in nested)
    if len(unlabeled) < len(direct):
        return ClassTree(root, {})
    splits: ClassFolders = {}
    for folder, inside in nested.items():
        splits.setdefault(normalize_split_name(printable(folder.name)), []).extend(inside)
    return ClassTree(root, splits, unlabeled)


def find_class_folders(root: Path) -> ClassFolders:
    """Split → class folders; {} for a root without them, or with an unclear layout."""
    return read_class_tree(root).splits


def normalize_split_name(name: str) -> str:
    """The usual name of a split ("Validation" → "val"), or the name itself."""
    return _SPLIT_NAMES.get(name.strip().lower(), name.strip())


def list_images(folder: Path) -> Iterator[Path]:
    """The image files directly in a folder, sorted by name."""
    return (path for path in list_entries(folder) if is_image_name(path))


def walk_images(folder: Path) -> Iterator[Path]:
    """The image files in a folder and up to three levels below it, sorted by name."""
    return (path for path in _walk(folder) if is_image_name(path))


def _walk(folder: Path, depth: int = _MAX_DEPTH) -> Iterator[Path]:
    """Files in and below a folder; hidden ones are left out."""
    subfolders = set(list_folders(folder))
    for path in list_entries(folder):
        if path not in subfolders:
            # a folder beside these is a link that leads back to where it lies
            if not os.path.isdir(path):
                yield path
        elif depth:
            yield from _walk(path, depth - 1)


def _has_images(folder: Path) -> bool:
    # unsorted, as the first image is enough
    try:
        with os.scandir(folder) as entries:
            return any(is_image_name(entry.name) for entry in entries)
    except OSError:
        return False


def _inner(folder: Path) -> Path:
    """The folder of a split that holds its classes: itself, or the only one below, as images/."""
    if _is_split(folder.name) and not _has_images(folder):
        below = list_folders(folder)
        if len(below) == 1 and below[0].name.lower() in _IMAGE_FOLDERS and not _is_class(below[0]):
            return below[0]
    return folder


def _is_class(folder: Path) -> bool:
    """Whether a folder holds images, or is named as an expression and has images below it."""
    return _has_images(folder) or (
        _is_expression(folder.name) and any(is_image_name(path) for path in _walk(folder))
    )


def _is_expression(name: str) -> bool:
    return canonical_or_same(name, CANONICAL) in CANONICAL


def _is_split(name: str) -> bool:
    return name.strip().lower() in _SPLIT_NAMES


def _is_left_out(path: Path) -> bool:
    """Whether a file may be a picture under a name that is not read."""
    return not is_image_name(path) and path.suffix.lower() not in _SIDE_FILES


def _describe(folder: Path) -> str:
    return _count_suffixes(list(_walk(folder))) or "empty"


def _count_suffixes(paths: list[Path]) -> str:
    """Suffixes with their counts: ".heic 12, .dat 3"."""
    counts = Counter(path.suffix.lower() or "no suffix" for path in paths)
    return ", ".join(f"{suffix} {count}" for suffix, count in counts.most_common(6))
