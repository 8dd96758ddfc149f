"""The base class of every dataset reader: layout errors, unique sample names, existing splits."""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

from ke2nt.data.picture_formats import is_system_name
from ke2nt.data.sample import FaceSample, FaceSplit, origin
from ke2nt.data.video_frame import VideoFrame
from ke2nt.datasets.finding import Finding
from ke2nt.errors import DataError, LayoutError
from ke2nt.runtime.formatting import printable
from ke2nt.runtime.renamed import warn_renamed
from ke2nt.runtime.suggest import did_you_mean

__all__ = ["Reader", "first_folder", "is_present", "list_entries", "list_folders"]

_MAX_LISTED = 8
# Names of the hooks in version 0.1
_RENAMED_HOOKS = {"_samples": "read_samples", "recognises": "recognizes"}


class Reader(ABC):
    """A dataset on disk, read as `FaceSplit`s.

    Subclass it to read a layout of your own: set the class attributes and define `read_samples`.
    Options of the reader are keyword-only arguments of `__init__`.

    Args:
        root: The dataset's top folder. (None, the default of a config, is an error.)

    Attributes:
        name: Name for users to type.
        summary: One line on the dataset; by default the first line of the docstring.
        expected_tree: The layout, one pattern per line, relative to the root.
        classes: Label set in index order.
        splits: Splits of this root; on the class, the splits that the dataset has.
        root: The dataset's top folder.

    Raises:
        LayoutError: The root does not have the dataset's layout.
        DataError: The root is missing, or an option is invalid.
    """

    name: ClassVar[str]
    summary: ClassVar[str] = ""
    expected_tree: ClassVar[str] = ""
    classes: tuple[str, ...]
    splits: tuple[str, ...]
    root: Path

    def __init__(self, root: str | Path | None) -> None:
        if root is None:
            raise DataError(
                f"{self.name} needs a root folder",
                expected="the dataset's folder",
                hint="Add --root DIR, or data.root=DIR.",
            )
        self.root = Path(root).expanduser()

        # A common slip is to name the folder above the dataset's
        if not self.recognizes(self.root):
            nested = [child for child in list_folders(self.root) if self.recognizes(child)]
            hint = f"The layout was found one folder down: {nested[0]}" if nested else None
            reason = self.explain(self.root)
            message = f"the folder does not have the layout of {self.name}"
            raise self.layout_error(f"{message}: {reason}" if reason else message, hint=hint)

    def __init_subclass__(cls, **kwargs: Any) -> None:
        """Accept the old names of the hooks."""
        super().__init_subclass__(**kwargs)
        for old, new in _RENAMED_HOOKS.items():
            if old in vars(cls) and new not in vars(cls):
                warn_renamed("reader method", f"{cls.__name__}.{old}", new)
                setattr(cls, new, vars(cls)[old])

    @abstractmethod
    def read_samples(self, split: str) -> Iterable[FaceSample]:
        """Read the annotations of one split. Every reader defines this.

        Called by `index` and `load`, with a split in `splits` only.

        Args:
            split: One of `splits`.

        Returns:
            The samples in a fixed order. Their images need not exist, and names may repeat: the
            second sample of a name gets the suffix "#2".

        Raises:
            DataError: An annotation is damaged.
        """

    @classmethod
    def recognizes(cls, root: Path) -> bool:
        """Whether a folder has the files that mark the layout; by default, whether it exists."""
        return root.is_dir()

    @classmethod
    def is_likely(cls, root: Path) -> bool:
        """Whether to suggest this reader for a folder; by default, whether it recognizes it."""
        return cls.recognizes(root)

    @classmethod
    def explain(cls, root: Path) -> str | None:
        """Why a folder that looks like the layout does not have it; None if it looks otherwise."""
        return None

    def remarks(self) -> Iterable[Finding]:
        """What a user should know of how the dataset is read, such as files that are left out."""
        return ()

    def index(self, split: str) -> FaceSplit:
        """A split as annotated, whether or not its images are on disk.

        Raises:
            DataError: The split is unknown, or an annotation is damaged.
        """
        self.check_split(split)
        # read at once: a generator would raise its errors far from here
        samples = tuple(_with_unique_names(self.read_samples(split)))
        return FaceSplit(self.name, split, self.classes, samples)

    def check_split(self, split: str) -> None:
        """Check the name of a split; nothing is read.

        Raises:
            DataError: The dataset has no such split.
        """
        if split not in self.splits:
            raise DataError(
                f"{self.name} has no split {split!r} here",
                expected=f"one of {', '.join(self.splits)}",
                where=self.root,
                hint=did_you_mean(split, self.splits),
            )

    def load(self, split: str) -> FaceSplit:
        """A split with at least one image on disk.

        Missing images stay in the split; they are counted when they are decoded.

        Raises:
            LayoutError: None of the split's images exists.
            DataError: The split is unknown or empty, or an annotation is damaged.
        """
        face_split = self.index(split)
        if not face_split.samples:
            raise DataError(f"the split {split!r} of {self.name} has no samples", where=self.root)

        if not any(is_present(sample) for sample in face_split.samples):
            raise self.layout_error(
                f"none of the {len(face_split)} images of the split {split!r} exists, "
                f"such as {face_split.samples[0].source}"
            )
        return face_split

    def layout_error(self, message: str, *, hint: str | None = None) -> LayoutError:
        """A LayoutError with the expected tree and the top entries of the root."""
        return LayoutError(
            message,
            where=self.root,
            expected=" | ".join(self.expected_tree.strip().splitlines()) or None,
            found=_describe_folder(self.root),
            hint=hint,
        )

    def relative(self, path: Path) -> str:
        """A sample name: the path below the root with forward slashes, printable."""
        return printable(path.relative_to(self.root).as_posix())


def list_entries(folder: Path) -> list[Path]:
    """Entries of a folder by name, without hidden ones; none if the folder cannot be listed."""
    try:
        return sorted(path for path in folder.iterdir() if not is_system_name(path.name))
    except OSError:
        return []


def list_folders(folder: Path) -> list[Path]:
    """Folders in a folder by name, without hidden ones; none if it cannot be listed."""
    try:
        with os.scandir(folder) as entries:
            names = [entry.name for entry in entries if entry.is_dir() and not _is_loop(entry)]
    except OSError:
        return []
    return [folder / name for name in sorted(names) if not is_system_name(name)]


def _is_loop(entry: os.DirEntry[str]) -> bool:
    """Whether a folder is a link to one that it lies in, so that its images would come twice."""
    if not entry.is_symlink():
        return False
    real = os.path.realpath(entry.path)
    parent = os.path.realpath(os.path.dirname(entry.path))
    return parent == real or parent.startswith(real.rstrip(os.sep) + os.sep)


def first_folder(root: Path, names: Sequence[str]) -> Path | None:
    """The first of some folders below a root that exists; "" names the root itself."""
    return next((root / name for name in names if (root / name).is_dir()), None)


def is_present(sample: FaceSample) -> bool:
    """Whether a sample's image is in memory or on disk; nothing is decoded."""
    source = origin(sample.source)
    path = source.path if isinstance(source, VideoFrame) else source
    return not isinstance(path, Path) or os.path.isfile(path)


def _describe_folder(root: Path) -> str:
    """The top entries of a folder, for messages."""
    if not os.path.lexists(root):
        return "no such folder"
    if not os.path.isdir(root):
        return "a file"

    names = [path.name + ("/" if os.path.isdir(path) else "") for path in list_entries(root)]
    if not names:
        return "an empty folder"
    rest = f" and {len(names) - _MAX_LISTED} more" if len(names) > _MAX_LISTED else ""
    return ", ".join(names[:_MAX_LISTED]) + rest


def _with_unique_names(samples: Iterable[FaceSample]) -> Iterator[FaceSample]:
    """Add the suffix "#2" to the second sample of a name, "#3" to the third."""
    # name → samples so far
    counts: Counter[str] = Counter()
    for sample in samples:
        counts[sample.name] += 1
        count = counts[sample.name]
        yield sample if count == 1 else replace(sample, name=f"{sample.name}#{count}")
