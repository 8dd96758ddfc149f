"""The reader "folder": any faces sorted into one folder per class."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from ke2nt.data.sample import FaceSample
from ke2nt.datasets.base import Reader
from ke2nt.datasets.class_folders import (
    build_label_set,
    canonical_or_same,
    find_class_folders,
    list_images,
)
from ke2nt.errors import DataError

__all__ = ["ImageFolder", "resolve_classes"]

_USUAL_ORDER = ("train", "val", "test")


class ImageFolder(Reader):
    """Images as `SPLIT/CLASS/*.png` or `CLASS/*.png` (with the single split `all`).

    Folder names that are known expressions ("happy") become canonical classes in canonical order;
    other names are classes themselves and come last, sorted. Images must lie directly in their
    class folder.

    Args:
        root: Folder above the splits or classes.
        classes: Label set in index order, as a sequence or separated by commas. Other class
            folders are an error.
    """

    name = "folder"
    summary = "Any images in one folder per class"
    expected_tree = "train/happiness/….png … (train, val, test)\nor: happiness/….png …"
    classes: tuple[str, ...] = ()
    splits: tuple[str, ...] = ()

    def __init__(
        self, root: str | Path | None, *, classes: str | Sequence[str] | None = None
    ) -> None:
        super().__init__(root)
        self._folders = find_class_folders(self.root)
        self.splits = tuple(sorted(self._folders, key=_split_order))
        # all splits share one label set
        names = [folder.name for folders in self._folders.values() for folder in folders]
        self.classes = resolve_classes(classes, names, where=self.root)

    @classmethod
    def recognizes(cls, root: Path) -> bool:
        return bool(find_class_folders(root))

    def read_samples(self, split: str) -> Iterable[FaceSample]:
        for folder in self._folders[split]:
            label = self.classes.index(canonical_or_same(folder.name, self.classes))
            for path in list_images(folder):
                yield FaceSample(self.relative(path), path, label)


def resolve_classes(
    requested: str | Sequence[str] | None, words: Sequence[str], *, where: Path
) -> tuple[str, ...]:
    """The label set of a dataset with some class words.

    Args:
        requested: The label set, as a sequence or separated by commas; by default the words make
            it.
        words: Class words of the data.
        where: The dataset, for messages.

    Raises:
        DataError: The requested label set repeats a class, or lacks one of the data.
    """
    if requested is None:
        return build_label_set(words)
    if isinstance(requested, str):
        requested = requested.split(",")

    classes = tuple(str(name).strip() for name in requested)
    if len(set(classes)) != len(classes) or not all(classes):
        raise DataError("classes must be different names", found=", ".join(classes))

    # "happy" in the data is the class "happiness"
    unknown = sorted({word for word in words if canonical_or_same(word, classes) not in classes})
    if unknown:
        raise DataError(
            f"the class {unknown[0]!r} is not in the label set",
            where=where,
            expected=f"only {', '.join(classes)}",
            found=", ".join(unknown),
        )
    return classes


def _split_order(name: str) -> tuple[int, str]:
    """Sort key: train, val, test, then others by name."""
    position = _USUAL_ORDER.index(name) if name in _USUAL_ORDER else len(_USUAL_ORDER)
    return position, name
