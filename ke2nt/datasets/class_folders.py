"""Images sorted into one folder per class, with or without a folder per split above."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping
from pathlib import Path

from ke2nt.data.images import is_image_name
from ke2nt.datasets.base import list_entries
from ke2nt.errors import LabelError
from ke2nt.labels import CANONICAL, canonical_name
from ke2nt.runtime.suggest import did_you_mean

__all__ = [
    "ALL",
    "build_label_set",
    "canonical_or_same",
    "find_class_folders",
    "list_images",
    "normalize_split_name",
]

ALL = "all"
# Other names of the usual splits
_SPLIT_NAMES: Mapping[str, str] = {
    "training": "train",
    "valid": "val",
    "validation": "val",
    "dev": "val",
    "testing": "test",
}

ClassFolders = dict[str, list[Path]]


def find_class_folders(root: Path) -> ClassFolders:
    """Split → class folders.

    A class folder holds images directly.

    Returns:
        The one split "all" where classes lie at the top; {} for a root with both kinds of layout,
        or with neither.
    """
    classes = [folder for folder in list_entries(root) if _has_images(folder)]

    splits: ClassFolders = {}
    for folder in list_entries(root):
        inside = [child for child in list_entries(folder) if _has_images(child)]
        if inside:
            splits.setdefault(normalize_split_name(folder.name), []).extend(inside)

    # images beside split folders: it is unclear which layout is meant
    if classes and splits:
        return {}
    return splits or ({ALL: classes} if classes else {})


def normalize_split_name(name: str) -> str:
    """The usual name of a split ("Validation" → "val"), or the name itself."""
    lower = name.strip().lower()
    if lower in ("train", "val", "test"):
        return lower
    return _SPLIT_NAMES.get(lower, name.strip())


def build_label_set(names: Iterable[str]) -> tuple[str, ...]:
    """Label set of some class words.

    Returns:
        Known expressions under their canonical names ("happy" → "happiness") in canonical order,
        then all other words as they are, sorted.

    Raises:
        LabelError: Two of the other words differ in case only.
    """
    canonical = {canonical_or_same(word, CANONICAL) for word in names}
    words = canonical - set(CANONICAL)

    # "Joy" beside "joy" is most likely one class and a slip
    spellings: dict[str, list[str]] = defaultdict(list)
    for word in sorted(words):
        spellings[word.casefold()].append(word)
    for same in spellings.values():
        if len(same) > 1:
            raise LabelError(
                "names of classes differ in case only",
                found=", ".join(same),
                hint=_suggest_expression(words),
            )
    return (*(name for name in CANONICAL if name in canonical), *sorted(words))


def canonical_or_same(word: str, classes: Collection[str]) -> str:
    """A class word as spelled in the label set ("happy" → "happiness"), or the word itself."""
    if word in classes:
        return word
    try:
        name = canonical_name(word)
    except LabelError:
        return word
    return name if name in classes else word


def list_images(folder: Path) -> Iterator[Path]:
    """The image files directly in a folder, sorted by name."""
    return (path for path in list_entries(folder) if is_image_name(path))


def _has_images(folder: Path) -> bool:
    return any(is_image_name(path) for path in list_entries(folder))


def _suggest_expression(words: Iterable[str]) -> str | None:
    """A hint on the first word that resembles an expression without being one."""
    unknown = sorted(w for w in words if canonical_or_same(w, CANONICAL) not in CANONICAL)
    for word in unknown:
        suggestion = did_you_mean(word, CANONICAL)
        if suggestion:
            return f"{word!r} is not an expression. {suggestion}"
    return None
