"""The reader "corruptions": any other dataset with its pictures made worse."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ke2nt.data.corruption import KINDS, MIXED, corrupt
from ke2nt.data.sample import FaceSplit
from ke2nt.errors import DataError

__all__ = ["Corruptions"]


class Corruptions:
    """A dataset under one kind of corruption; pictures are changed as they are read.

    The splits bear the name of the dataset, the kind and the severity.

    Args:
        root: The dataset's folder.
        of: Name of the dataset.
        kind: One of `ke2nt.data.corruption.KINDS`, or "mixed": one of them for each picture.
        severity: 1 to 5.
        shift_seed: Seed of all that is drawn.
        **options: Options of the dataset's own reader.

    Raises:
        DataError: No dataset is named, or an option is not valid.
        LayoutError: The root does not have the dataset's layout.
    """

    name = "corruptions"
    summary = f"Any dataset made worse: {', '.join(KINDS)} or {MIXED}; takes its options, too"
    expected_tree = "that of the dataset which the option `of` names"
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
        from ke2nt.datasets.catalog import get_reader  # which lists this reader

        if of is None or of == self.name:
            raise DataError(
                "corruptions needs the dataset that it changes",
                expected="the option of=NAME, such as of=ferplus",
                found=None if of is None else f"of={of}",
            )
        self._reader: Any = get_reader(of, root, options)
        self._change = (kind, severity, shift_seed)
        self.root = root
        self.classes, self.splits = self._reader.classes, self._reader.splits
        self._changed(FaceSplit(of, "", (), ()))  # a wrong kind or severity is said at once

    def index(self, split: str) -> FaceSplit:
        """As `Reader.index`."""
        return self._changed(getattr(self._reader, "index", self._reader.load)(split))

    def load(self, split: str) -> FaceSplit:
        """As `Reader.load`."""
        return self._changed(self._reader.load(split))

    def _changed(self, split: FaceSplit) -> FaceSplit:
        kind, severity, seed = self._change
        return corrupt(split, kind, severity, seed=seed)
