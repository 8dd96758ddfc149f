"""The reader "corruptions": any other dataset with degraded images."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from ke2nt.data.corruption import KINDS, MIXED, corrupt
from ke2nt.data.sample import FaceSample, FaceSplit
from ke2nt.datasets.base import Reader
from ke2nt.datasets.finding import Finding
from ke2nt.datasets.lookup import find_reader, open_reader
from ke2nt.datasets.table import SINGLE_READERS
from ke2nt.errors import DataError

__all__ = ["Corruptions"]


class Corruptions(Reader):
    """A dataset under one kind of corruption; images are changed as they are read.

    The splits bear the name of the dataset, the kind and the severity.

    Args:
        root: The dataset's folder.
        of: Name of the dataset, or the dotted path of its reader.
        kind: One of `ke2nt.data.corruption.KINDS`, or "mixed": a random kind for each image.
        severity: 1 to 5.
        shift_seed: Seed of all random values.
        **options: Options of the dataset's reader.

    Raises:
        DataError: No dataset is named, or an option is invalid.
        LayoutError: The root does not have the dataset's layout.
    """

    name = "corruptions"
    summary = f"Any dataset with degraded images: {', '.join(KINDS)} or {MIXED}; takes its options"
    expected_tree = "layout of the dataset named by the option `of`"
    classes: tuple[str, ...] = ()
    splits: tuple[str, ...] = ()

    def __init__(
        self,
        root: str | Path | None = None,
        *,
        of: str | None = None,
        kind: str = MIXED,
        severity: int = 3,
        shift_seed: int = 0,
        **options: Any,
    ) -> None:
        if of is None or of == self.name:
            raise DataError(
                "corruptions needs the dataset to change",
                expected="the option of=NAME, such as of=ferplus",
                found=None if of is None else f"of={of}",
            )

        # The wrapped reader checks the root
        self._reader = open_reader(of, find_reader(of, SINGLE_READERS), root, options)
        self.root = self._reader.root
        self.classes, self.splits = self._reader.classes, self._reader.splits

        # An empty split shows a wrong kind or severity before anything is read
        self._kind, self._severity, self._seed = kind, severity, shift_seed
        self._corrupt(FaceSplit(of, "", (), ()))

    def read_samples(self, split: str) -> Iterable[FaceSample]:
        return self.index(split).samples

    def remarks(self) -> Iterable[Finding]:
        return self._reader.remarks()

    def index(self, split: str) -> FaceSplit:
        return self._corrupt(self._reader.index(split))

    def load(self, split: str) -> FaceSplit:
        return self._corrupt(self._reader.load(split))

    def _corrupt(self, split: FaceSplit) -> FaceSplit:
        return corrupt(split, self._kind, self._severity, seed=self._seed)
