"""Any faces sorted into one folder a class."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from ke2nt.data.sample import FaceSample
from ke2nt.datasets.base import Reader
from ke2nt.datasets.class_folders import (
    canonical_or_same,
    find_class_folders,
    images_of,
    label_set,
)
from ke2nt.errors import DataError

__all__ = ["ImageFolder", "class_names"]


class ImageFolder(Reader):
    """Images as `SPLIT/CLASS/*.png` or `CLASS/*.png` (then the one split is `all`).

    Folder names that are all known expressions ("happy") become canonical classes in canonical
    order; otherwise they are the classes as they are, sorted. Images must lie directly in their
    class folder.

    Args:
        root: Folder above the splits or classes.
        classes: Label set in index order, as a sequence or separated by commas. Other class
            folders are an error.
    """

    name = "folder"
    summary = "Any images in one folder a class"
    expected_tree = "train/happiness/….png … (train, val, test)\nor: happiness/….png …"
    classes: tuple[str, ...] = ()
    splits: tuple[str, ...] = ()

    def __init__(
        self, root: str | Path | None, *, classes: str | Sequence[str] | None = None
    ) -> None:
        super().__init__(root)
        self._folders = find_class_folders(self.root)
        self.splits = tuple(sorted(self._folders, key=_split_order))
        names = [folder.name for folders in self._folders.values() for folder in folders]
        self.classes = class_names(classes, names, where=self.root)

    @classmethod
    def recognizes(cls, root: Path) -> bool:
        return bool(find_class_folders(root))

    def read_samples(self, split: str) -> Iterable[FaceSample]:
        for folder in self._folders[split]:
            label = self.classes.index(canonical_or_same(folder.name, self.classes))
            for path in images_of(folder):
                yield FaceSample(self.relative(path), path, label)


def class_names(
    asked: str | Sequence[str] | None, found: Sequence[str], *, where: Path
) -> tuple[str, ...]:
    """The label set: the one asked for, or the one that the class words make.

    Raises:
        DataError: The label set asked for repeats a class, or lacks one that was found.
    """
    if asked is None:
        return label_set(found)
    if isinstance(asked, str):
        asked = asked.split(",")
    classes = tuple(str(name).strip() for name in asked)
    if len(set(classes)) != len(classes) or not all(classes):
        raise DataError("classes must be different names", found=", ".join(classes))
    unknown = sorted({name for name in found if canonical_or_same(name, classes) not in classes})
    if unknown:
        raise DataError(
            f"the class {unknown[0]!r} is not in the label set",
            where=where,
            expected=f"only {', '.join(classes)}",
            found=", ".join(unknown),
        )
    return classes


def _split_order(name: str) -> tuple[int, str]:
    usual = ("train", "val", "test")
    return (usual.index(name) if name in usual else len(usual), name)
