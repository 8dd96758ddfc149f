"""RAF-DB, compound expressions (Li, Deng and Du, CVPR 2017)."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cached_property
from pathlib import Path

from ke2nt.data.sample import FaceSample
from ke2nt.datasets.base import Reader
from ke2nt.datasets.rafdb_list import ListRow, find_list, has_compound_labels, read_label_list
from ke2nt.errors import DataError
from ke2nt.labels import COMPOUND_LABELS, DATASET_LABELS

__all__ = ["RAFDBCompound"]

_BASIC = tuple(name for name in DATASET_LABELS["rafdb"] if name != "neutral")
_POLICIES = ("compound", "first", "second", "shares")


class RAFDBCompound(Reader):
    """RAF-DB's compound expressions, eleven classes such as "happily surprised".

    Args:
        root: Folder that holds `EmoLabel` and `Image` (the folder `compound`).
        labels: "compound": the eleven classes; or basic expressions: "first" ("happily surprised"
            is happiness), "second" (surprise), or "shares" (half of each, with the second as the
            label).
        images: "aligned" (100 px face crops) or "original" (whole photographs).
        first_label: Number of the first class in the list.
        label_column: Which value of a line is the label, from 1; needed where a line has several.
    """

    name = "rafdb_compound"
    summary = "RAF-DB's compound expressions, 11 classes, or 6 basic ones by a stated policy"
    expected_tree = (
        "EmoLabel/list_patition_label.txt (labels 1 to 11)\nImage/aligned/train_0001_aligned.jpg …"
    )
    classes: tuple[str, ...] = tuple(COMPOUND_LABELS)
    splits: tuple[str, ...] = ("train", "test")

    def __init__(
        self,
        root: str | Path | None,
        *,
        labels: str = "compound",
        images: str = "aligned",
        first_label: int = 1,
        label_column: int | None = None,
    ) -> None:
        for value, known in ((labels, _POLICIES), (images, ("aligned", "original"))):
            if value not in known:
                raise DataError(
                    f"unknown option {value!r} for rafdb_compound",
                    expected=f"one of {', '.join(known)}",
                )
        super().__init__(root)
        self.labels, self.images = labels, images
        self.first_label, self.label_column = first_label, label_column
        self.classes = type(self).classes if labels == "compound" else _BASIC

    @classmethod
    def recognizes(cls, root: Path) -> bool:
        return find_list(root) is not None

    @classmethod
    def is_likely(cls, root: Path) -> bool:
        # the basic set has the same layout, and fewer classes
        file = find_list(root)
        return file is not None and has_compound_labels(file)

    def read_samples(self, split: str) -> Iterable[FaceSample]:
        file = find_list(self.root)
        assert file is not None
        top = file.parent.parent if file.parent.name == "EmoLabel" else self.root
        for row in self._rows[split]:
            path = row.locate(top, self.images)
            yield self._make_sample(path, list(COMPOUND_LABELS.items())[row.label])

    def _make_sample(self, path: Path, pair: tuple[str, tuple[str, str]]) -> FaceSample:
        name, (first, second) = pair
        label = {"compound": name, "first": first}.get(self.labels, second)
        shares = None
        if self.labels == "shares":
            shares = tuple(0.5 * (basic in (first, second)) for basic in _BASIC)
        return FaceSample(
            self.relative(path),
            path,
            self.classes.index(label),
            distribution=shares,
            attributes={"compound": name},
        )

    @cached_property
    def _rows(self) -> dict[str, list[ListRow]]:
        file = find_list(self.root)
        assert file is not None
        return read_label_list(
            file,
            self.splits,
            tuple(COMPOUND_LABELS),
            first_label=self.first_label,
            label_column=self.label_column,
        )
