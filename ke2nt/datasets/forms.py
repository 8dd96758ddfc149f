"""Which readers would take a folder: the forms of datasets, recognized by their files."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ke2nt.datasets.base import Reader, list_entries, list_folders
from ke2nt.datasets.class_folders import read_class_tree
from ke2nt.datasets.class_numbers import class_number
from ke2nt.datasets.class_words import canonical_or_same
from ke2nt.datasets.fixed_classes import candidate_roots
from ke2nt.datasets.table import SINGLE_READERS
from ke2nt.errors import DataError
from ke2nt.labels import CANONICAL
from ke2nt.runtime.formatting import first_few, printable

__all__ = ["Form", "check_arguments", "find_forms", "suggest_forms"]

_MAX_FOLDERS = 40
_ARCHIVES = (".zip", ".tar", ".gz", ".tgz", ".bz2", ".xz", ".7z", ".rar")


@dataclass(frozen=True, slots=True)
class Form:
    """A reader that takes a folder.

    Attributes:
        reader: Its name.
        root: The folder to name as its root.
        numbered: Whether the classes are numbered folders, which datasets number differently.
        certain: False for folders with images whose names are no expressions.
    """

    reader: str
    root: Path
    numbered: bool = False
    certain: bool = True


def find_forms(root: Path, *, below: bool = True) -> list[Form]:
    """The readers that recognize a folder or, if none does, folders up to two levels below it.

    Args:
        root: The folder.
        below: Whether to look below it, too.
    """
    level = [root]
    for _ in range(3 if below else 1):
        found = [form for folder in level for form in _forms_of(folder)]
        # below the root, folders with images may be anything
        found = [form for form in found if form.certain or form.root == root]
        if found:
            return found
        # a home folder would take minutes
        level = [child for folder in level for child in list_folders(folder)][:_MAX_FOLDERS]
    return []


def suggest_forms(
    root: Path, reader_class: type[Reader] | None = None, *, below: bool = True
) -> str | None:
    """A sentence on what would read a folder; None if nothing is known of it.

    Args:
        root: The folder that a reader refused, or a file.
        reader_class: That reader, which is not suggested.
        below: Whether to look below the folder, too; otherwise only certain forms are named.
    """
    found = find_forms(root, below=below)
    # the same reader may take a folder below
    forms = [f for f in found if SINGLE_READERS[f.reader] is not reader_class or f.root != root]
    if not below:
        forms = [form for form in forms if form.certain]
    if forms:
        return _describe_forms(forms, root)
    if not below:
        return None
    archives = [p.name for p in list_entries(root) if p.suffix.lower() in _ARCHIVES]
    return f"Unpack {first_few(archives, 3)} first." if archives else None


def check_arguments(name: str, root: Path | None) -> None:
    """Raise DataError if a folder is named where the name of a dataset belongs.

    Args:
        name: What was given as the dataset.
        root: What was given as its folder.
    """
    if root is None and name not in SINGLE_READERS and Path(name).expanduser().exists():
        raise DataError(
            f"{name} is a folder or file, not a dataset",
            expected="the dataset's name before its folder, such as folder DIR",
            hint=suggest_forms(Path(name).expanduser()),
        )


def _forms_of(root: Path) -> list[Form]:
    """The readers that recognize a folder itself."""
    words = read_class_tree(root).words()
    numbered = bool(words) and all(class_number(word) is not None for word in words)
    found = [name for name, reader in SINGLE_READERS.items() if _recognizes(reader, root)]

    # other folders with images, such as Image/aligned, are parts of a dataset's own layout
    classes = numbered or _has_expressions(root)
    if len(found) > 1 and not classes:
        found = [name for name in found if name != "folder"]
    forms = [
        Form(name, root, numbered and name != "manifest", classes or name != "folder")
        for name in found
    ]

    # a dataset's reader looks into the only folder of a root; the reader of any folder does not
    if found and "folder" not in found:
        below = [path for path in candidate_roots(root)[1:] if _has_expressions(path)]
        forms += [Form("folder", path) for path in below[:1]]
    return forms


def _has_expressions(root: Path) -> bool:
    """Whether the class folders at a root are named by expressions."""
    return any(canonical_or_same(w, CANONICAL) in CANONICAL for w in read_class_tree(root).words())


def _recognizes(reader: type[Reader], root: Path) -> bool:
    return reader.name != "drawn" and root.is_dir() and reader.is_likely(root)


def _describe_forms(forms: Sequence[Form], root: Path) -> str:
    # folders of expressions are read where they are, and most often meant
    folder = next((form for form in forms if form.reader == "folder"), None)
    first = folder or forms[0]
    where = "" if first.root == root else f" in {printable(str(first.root))}"
    others = list(dict.fromkeys(form.reader for form in forms if form.reader != "folder"))

    if any(form.numbered for form in forms):
        known = f"use the dataset {' or '.join(others)} if its numbers are meant, or "
        return (
            f"Class folders with numbers were found{where}: {known if others else 'use '}the "
            "dataset folder with --option classes=A,B,C in the order of the numbers."
        )
    if folder is not None:
        or_others = f" (or {', '.join(others)})" if others else ""
        return f"Class folders were found{where}: use the dataset folder{or_others}."
    return f"The layout of {' or '.join(others)} was found{where}: use that dataset."
