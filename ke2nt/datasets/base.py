"""What every dataset reader shares: layout errors, unique sample names, splits that must exist."""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import ClassVar

from ke2nt.data.sample import FaceSample, FaceSplit, origin
from ke2nt.errors import DataError, LayoutError
from ke2nt.runtime.suggest import did_you_mean

__all__ = ["Reader", "entries", "is_present"]

_SHOWN = 8


class Reader(ABC):
    """A dataset on disk, read as `FaceSplit`s.

    Args:
        root: The dataset's top folder. (None, the default of a config, is an error.)

    Attributes:
        name: The name that users type.
        summary: One line on the dataset.
        expected_tree: The layout, one pattern a line, relative to the root.
        classes: Label set in index order.
        splits: Splits that this root has; on the class, those that the dataset has.

    Raises:
        LayoutError: The root does not have the dataset's layout.
        DataError: There is no root, or an option is not valid.
    """

    name: ClassVar[str]
    summary: ClassVar[str]
    expected_tree: ClassVar[str]
    classes: tuple[str, ...]
    splits: tuple[str, ...]

    def __init__(self, root: str | Path | None) -> None:
        if root is None:
            raise DataError(f"{self.name} needs the folder that it is in", expected="a root folder")
        self.root = Path(root).expanduser()
        if not self.recognizes(self.root):
            near = [child for child in entries(self.root) if self.recognizes(child)]
            hint = f"The layout was found one folder down: {near[0]}" if near else None
            raise self.layout_error(f"this is not the layout of {self.name}", hint=hint)

    @classmethod
    @abstractmethod
    def recognizes(cls, root: Path) -> bool:
        """Whether the files that mark the layout are there."""

    @abstractmethod
    def _samples(self, split: str) -> Iterable[FaceSample]:
        """The samples of one split, in a fixed order; the images need not exist."""

    def index(self, split: str) -> FaceSplit:
        """What the annotations say of a split, whether or not its images are on disk.

        Raises:
            DataError: The split is not known, or an annotation is damaged.
        """
        if split not in self.splits:
            raise DataError(
                f"{self.name} has no split {split!r} here",
                expected=f"one of {', '.join(self.splits)}",
                where=self.root,
                hint=did_you_mean(split, self.splits),
            )
        return FaceSplit(self.name, split, self.classes, tuple(_unique(self._samples(split))))

    def load(self, split: str) -> FaceSplit:
        """A split that can be used: at least one of its images is on disk.

        Single missing images are left in; they are counted when they are decoded.

        Raises:
            LayoutError: None of the split's images is there.
            DataError: The split is not known or empty, or an annotation is damaged.
        """
        found = self.index(split)
        if not found.samples:
            raise DataError(f"the split {split!r} of {self.name} has no sample", where=self.root)
        if not any(is_present(sample) for sample in found.samples):
            raise self.layout_error(
                f"none of the {len(found)} images of the split {split!r} is there, "
                f"such as {found.samples[0].source}"
            )
        return found

    def layout_error(self, message: str, *, hint: str | None = None) -> LayoutError:
        """A LayoutError with the expected tree and the top entries that were found."""
        return LayoutError(
            message,
            where=self.root,
            expected=" | ".join(self.expected_tree.strip().splitlines()),
            found=_describe(self.root),
            hint=hint,
        )

    def relative(self, path: Path) -> str:
        """A sample name: the path below the root, with forward slashes."""
        return path.relative_to(self.root).as_posix()


def entries(folder: Path) -> list[Path]:
    """Entries of a folder by name, hidden ones left out; none if it cannot be listed."""
    try:
        return sorted(path for path in folder.iterdir() if not path.name.startswith("."))
    except OSError:
        return []


def is_present(sample: FaceSample) -> bool:
    """Whether a sample's image is in memory or on disk; nothing is decoded."""
    source = origin(sample.source)
    return not isinstance(source, Path) or os.path.isfile(source)


def _describe(root: Path) -> str:
    if not os.path.lexists(root):
        return "no such folder"
    if not os.path.isdir(root):
        return "a file"
    names = [path.name + ("/" if os.path.isdir(path) else "") for path in entries(root)]
    if not names:
        return "an empty folder"
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more


def _unique(samples: Iterable[FaceSample]) -> Iterator[FaceSample]:
    """Give the second sample of a name the suffix "#2", the third "#3"."""
    seen: Counter[str] = Counter()
    for sample in samples:
        seen[sample.name] += 1
        count = seen[sample.name]
        yield sample if count == 1 else replace(sample, name=f"{sample.name}#{count}")
