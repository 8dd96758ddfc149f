"""FER+: FER2013 images with ten crowd votes each (Barsoum et al., ICMI 2016, arXiv 1608.01041)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cached_property
from pathlib import Path

import numpy as np

from ke2nt.data.sample import FaceSample
from ke2nt.datasets.base import Reader
from ke2nt.datasets.tables import location, parse_integer, parse_usage, portable_path, read_table
from ke2nt.errors import DataError
from ke2nt.labels import DATASET_LABELS
from ke2nt.runtime.suggest import did_you_mean

__all__ = ["RULES", "FERPlus", "label_from_votes"]

RULES = ("majority", "plurality10", "plurality8")

_VOTES_FILE = "fer2013new.csv"
_FOLDERS = {"train": "FER2013Train", "val": "FER2013Valid", "test": "FER2013Test"}
_EXPRESSIONS = DATASET_LABELS["ferplus"]
_COLUMNS = (*_EXPRESSIONS, "unknown", "NF")
_MAX_VOTES = 1000


class FERPlus(Reader):
    """FER+ in its official layout: three image folders and the votes file.

    The file names four images twice; each row is a sample, as in published counts, and the second
    one's name ends in "#2". Rows without an image name are images that FER+ removed.

    Args:
        root: Folder that holds `fer2013new.csv`.
        rule: How ten votes become one label, see `label_from_votes`.
    """

    name = "ferplus"
    summary = "FER2013 faces with ten votes each, 48 px gray, 8 classes"
    expected_tree = (
        "fer2013new.csv\nFER2013Train/fer0000000.png …\n"
        "FER2013Valid/fer0028638.png …\nFER2013Test/fer0032220.png …"
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

    @classmethod
    def recognizes(cls, root: Path) -> bool:
        return (root / _VOTES_FILE).is_file()

    def read_samples(self, split: str) -> Iterable[FaceSample]:
        folder = self.root / _FOLDERS[split]
        for image, votes in self._rows[split]:
            result = label_from_votes(votes, self.rule)
            if result is not None:
                label, distribution = result
                path = folder / image
                yield FaceSample(self.relative(path), path, label, distribution=distribution)

    @cached_property
    def _rows(self) -> dict[str, list[tuple[str, tuple[int, ...]]]]:
        """Split → image name and ten votes of each row."""
        path = self.root / _VOTES_FILE
        rows: dict[str, list[tuple[str, tuple[int, ...]]]] = {split: [] for split in self.splits}
        for line, row in read_table(path, ("Usage", "Image name", *_COLUMNS)):
            where = location(path, line)
            split = parse_usage(row["Usage"], where=where)
            votes = tuple(
                parse_integer(row[name], where=f"{where}, column {name}", low=0, high=_MAX_VOTES)
                for name in _COLUMNS
            )

            # FER+ removed the images without a name
            if row["Image name"]:
                image = portable_path(row["Image name"]).name
                rows[split].append((image, votes))
        return rows


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
