"""Images sorted into one folder a class, with or without a folder a split above."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from pathlib import Path

from ke2nt.data.images import is_image_name
from ke2nt.datasets.base import entries
from ke2nt.errors import LabelError
from ke2nt.labels import CANONICAL, canonical_name
from ke2nt.runtime.suggest import did_you_mean

__all__ = ["ALL", "canonical_or_same", "find_class_folders", "images_of", "label_set", "split_name"]

ALL = "all"
_SPLIT_NAMES: Mapping[str, str] = {
    "training": "train",
    "valid": "val",
    "validation": "val",
    "dev": "val",
    "testing": "test",
}

ClassFolders = dict[str, list[Path]]


def find_class_folders(root: Path) -> ClassFolders:
    """Split → class folders; the one split "all" where classes lie at the top, {} for neither.

    A class folder holds images directly. A root with both kinds of layout gives {}.
    """
    classes = [folder for folder in entries(root) if _has_images(folder)]
    splits: ClassFolders = {}
    for folder in entries(root):
        inside = [child for child in entries(folder) if _has_images(child)]
        if inside:
            splits.setdefault(split_name(folder.name), []).extend(inside)
    if classes and splits:
        return {}
    return splits or ({ALL: classes} if classes else {})


def split_name(name: str) -> str:
    """The usual name of a split ("Validation" → "val"); another name stays as it is."""
    lower = name.strip().lower()
    if lower in ("train", "val", "test"):
        return lower
    return _SPLIT_NAMES.get(lower, name.strip())


def label_set(names: Iterable[str]) -> tuple[str, ...]:
    """Label set of some class words: canonical names in canonical order, if all are known.

    Otherwise the words as they are, sorted.

    Raises:
        LabelError: Of those, two differ in case alone.
    """
    words = set(names)
    canonical = {canonical_or_same(word, CANONICAL) for word in words}
    if canonical <= set(CANONICAL):
        return tuple(name for name in CANONICAL if name in canonical)
    spellings: dict[str, list[str]] = {}
    for word in sorted(words):
        spellings.setdefault(word.casefold(), []).append(word)
    if twice := [same for same in spellings.values() if len(same) > 1]:
        strange = sorted(w for w in words if canonical_or_same(w, CANONICAL) not in CANONICAL)
        hints = ((word, did_you_mean(word, CANONICAL)) for word in strange)
        raise LabelError(
            "names of classes differ in case alone",
            found=", ".join(twice[0]),
            hint=next((f"{word!r} is no expression. {hint}" for word, hint in hints if hint), None),
        )
    return tuple(sorted(words))


def canonical_or_same(word: str, classes: Collection[str]) -> str:
    """A class word as the label set spells it ("happy" → "happiness"), or the word itself."""
    if word in classes:
        return word
    try:
        name = canonical_name(word)
    except LabelError:
        return word
    return name if name in classes else word


def images_of(folder: Path) -> Iterator[Path]:
    """The image files directly in a folder, sorted by name."""
    return (path for path in entries(folder) if is_image_name(path))


def _has_images(folder: Path) -> bool:
    return any(is_image_name(path) for path in entries(folder))
