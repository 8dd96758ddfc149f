"""FER+: FER2013 images with ten crowd votes each (Barsoum et al., ICMI 2016, arXiv 1608.01041)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cached_property
from pathlib import Path

import numpy as np

from ke2nt.data.sample import FaceSample
from ke2nt.datasets.base import Reader
from ke2nt.datasets.ferplus_votes import VoteRow, find_votes
from ke2nt.datasets.finding import Finding
from ke2nt.datasets.fixed_classes import (
    FixedClassFolders,
    explain_fixed_classes,
    find_fixed_classes,
)
from ke2nt.errors import DataError
from ke2nt.labels import DATASET_LABELS
from ke2nt.runtime.suggest import did_you_mean

__all__ = ["RULES", "FERPlus", "label_from_votes"]

RULES = ("majority", "plurality10", "plurality8")

_EXPRESSIONS = DATASET_LABELS["ferplus"]
# The class folders that circulate misspell one class
_SPELLINGS = {"suprise": "surprise"}
# Columns of votes that are no expressions
_NO_CLASS = ("unknown", "nf")


class FERPlus(Reader):
    """FER+: ten votes for each image of FER2013.

    The votes file names four images twice; each row is a sample, as in published counts, and the
    second one's name ends in "#2". Rows without an image name are images that FER+ removed. The
    class folders that circulate have one label each, made by the majority, and no votes.

    Args:
        root: Folder that holds `fer2013new.csv` with the image folders or `fer2013.csv`, image
            folders with a `label.csv` each, or class folders.
        rule: How ten votes become one label, see `label_from_votes`.
    """

    name = "ferplus"
    summary = "FER2013 faces with ten votes each, 48 px gray, 8 classes"
    expected_tree = (
        "fer2013new.csv\nFER2013Train/fer0000000.png …\n"
        "FER2013Valid/fer0028638.png …\nFER2013Test/fer0032220.png …\n"
        "(the image folders may lie in a subfolder, and fer2013.csv may take their place)\n"
        "or: FER2013Train/label.csv …\nor: train/anger/….png … with 8 classes"
    )
    classes: tuple[str, ...] = _EXPRESSIONS
    splits: tuple[str, ...] = ("train", "val", "test")

    def __init__(self, root: str | Path | None, *, rule: str = "majority") -> None:
        if rule not in RULES:
            raise DataError(
                f"unknown rule {rule!r} for ferplus",
                expected=f"one of {', '.join(RULES)}",
                hint=did_you_mean(str(rule), RULES),
            )
        self.rule = rule
        super().__init__(root)

        # votes come first: folders have one label each
        self._votes = find_votes(self.root)
        self._folders = None
        if self._votes is None:
            self._folders = _find_folders(self.root)
        if self._folders is not None:
            self.splits, self.classes = self._folders.splits, self._folders.classes
            if rule != "majority":
                raise DataError(
                    "class folders have no votes that a rule could change",
                    where=self.root,
                    found=f"rule={rule}",
                    hint="Leave the rule out, or use the votes file fer2013new.csv.",
                )

    @classmethod
    def recognizes(cls, root: Path) -> bool:
        if find_votes(root) is not None:
            return True
        return _find_folders(root) is not None

    def remarks(self) -> Iterable[Finding]:
        return () if self._folders is None else self._folders.findings()

    @classmethod
    def explain(cls, root: Path) -> str | None:
        return explain_fixed_classes(root, cls.name)

    def read_samples(self, split: str) -> Iterable[FaceSample]:
        if self._folders is not None:
            for path, label in self._folders.samples(split):
                yield FaceSample(self.relative(path), path, label)
            return
        for row in self._rows[split]:
            result = label_from_votes(row.votes, self.rule)
            if result is not None:
                label, distribution = result
                name = row.name or self.relative(Path(str(row.source)))
                yield FaceSample(name, row.source, label, distribution=distribution)

    @cached_property
    def _rows(self) -> dict[str, list[VoteRow]]:
        assert self._votes is not None
        return self._votes.read()


def _find_folders(root: Path) -> FixedClassFolders | None:
    folders = find_fixed_classes(
        root, "ferplus", spellings=_SPELLINGS, left_out=_NO_CLASS, numbers=False
    )
    # seven classes are those of other datasets
    if folders is None or not {"neutral", "contempt"} <= set(folders.words.values()):
        return None
    return folders


def label_from_votes(votes: Sequence[int], rule: str) -> tuple[int, tuple[float, ...]] | None:
    """Label and label distribution of one image, or None if the rule drops it.

    - "majority": votes of 1 are dropped; the winner needs more than half of the rest and must be
      an expression (the rule of FER+'s authors).
    - "plurality10": most votes of all ten columns; dropped where that is "unknown" or "NF".
    - "plurality8": most votes of the eight expressions; dropped where these have none.

    A tie under the plurality rules goes to the earlier column.

    Args:
        votes: Ten counts: the eight expressions, "unknown", and "NF" (not a face).
        rule: One of `RULES`.

    Returns:
        Class index, and the eight expressions' shares of their votes (sum 1), from which votes
        of 1 have been dropped under "majority" only.
    """
    counts = np.asarray(votes)
    if rule == "majority":
        counts = np.where(counts > 1, counts, 0)
    expressions = counts[: len(_EXPRESSIONS)]

    # The winner must be an expression with votes
    winner = int(np.argmax(expressions if rule == "plurality8" else counts))
    if winner >= len(_EXPRESSIONS) or counts[winner] == 0:
        return None
    if rule == "majority" and 2 * counts[winner] <= counts.sum():
        return None
    return winner, tuple((expressions / expressions.sum()).tolist())
