"""The reader "yolo": faces with boxes, one text file for each image, as detectors learn from."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property
from pathlib import Path

from ke2nt.data.sample import FaceSample
from ke2nt.datasets.base import Reader
from ke2nt.datasets.class_numbers import counts_otherwise
from ke2nt.datasets.class_words import resolve_words
from ke2nt.datasets.finding import Finding
from ke2nt.datasets.yolo_files import YoloFace, YoloFolders, background_finding, find_yolo
from ke2nt.errors import DataError
from ke2nt.runtime.formatting import first_few

__all__ = ["Yolo"]


class Yolo(Reader):
    """YOLO text files: `train/images` beside `train/labels`, and `data.yaml` with the class names.

    Every box is a sample, cut out as a square; a box that covers the whole image leaves it as it
    is. Images without a box are left out.

    Args:
        root: Folder that holds `data.yaml` and the splits.
        classes: Class names in the order of the numbers; needed without `data.yaml`.
        margin: What is added to a box on each side, as a share of its longer side.
    """

    name = "yolo"
    summary = "Faces with boxes in YOLO text files, as detectors are trained on"
    expected_tree = (
        "data.yaml (names: […])\ntrain/images/1.jpg …\ntrain/labels/1.txt … (number x y w h)\n"
        "valid/… and test/… (or images/train and labels/train)"
    )
    classes: tuple[str, ...] = ()
    splits: tuple[str, ...] = ()

    def __init__(
        self,
        root: str | Path | None,
        *,
        classes: str | Sequence[str] | None = None,
        margin: float = 0.0,
    ) -> None:
        super().__init__(root)
        found = find_yolo(self.root)
        assert found is not None
        self._folders: YoloFolders = found
        self.margin = margin
        self.splits = tuple(found.splits)

        # the label set follows the words; numbers point into the list of names
        self._names = dict(enumerate(found.read_names(classes)))
        self._names |= self._nameless_numbers()
        self._words = resolve_words(self._names.values(), where=self.root)
        self.classes = self._words.classes

    @classmethod
    def recognizes(cls, root: Path) -> bool:
        return find_yolo(root) is not None

    def read_samples(self, split: str) -> Iterable[FaceSample]:
        return [self._make_sample(face) for face in self._faces[split]]

    def remarks(self) -> Iterator[Finding]:
        counts = self._count_numbers()
        yield from self._words.remarks({name: counts[n] for n, name in self._names.items()})
        yield from background_finding(self._folders, self._faces)

    def _make_sample(self, face: YoloFace) -> FaceSample:
        label = self._words.index[self._names[face.number]]
        return FaceSample(self.relative(face.image), face.source(self.margin), label)

    def _nameless_numbers(self) -> dict[int, str]:
        """Number → class name for numbers that have none, each the number itself.

        Raises:
            DataError: Most numbers have no name, so that the names are those of another dataset.
        """
        counts, named = self._count_numbers(), len(self._names)
        beyond = {number: counts[number] for number in sorted(counts) if number >= named}
        if 2 * len(beyond) > len(counts) or counts_otherwise(counts, 0, named - 1):
            raise DataError(
                "class numbers have no name",
                where=self.root,
                expected=f"0 to {named - 1} ({first_few([*self._names.values()], 12)})",
                found=", ".join(f"{number} ({n} boxes)" for number, n in [*beyond.items()][:12]),
                hint="Add --option classes=A,B,C in the order of the numbers.",
            )
        return {number: str(number) for number in beyond}

    def _count_numbers(self) -> Counter[int]:
        """Class number → boxes."""
        return Counter(face.number for faces in self._faces.values() for face in faces)

    @cached_property
    def _faces(self) -> dict[str, list[YoloFace]]:
        return {s: list(self._folders.read(s)) for s in self.splits}
