"""ExpW, expression in the wild (Zhang et al., IJCV 126, 2018)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from ke2nt.data.crop import CropBox
from ke2nt.data.sample import ChangedImage, FaceSample
from ke2nt.datasets.base import Reader, first_folder
from ke2nt.datasets.file_finder import FileFinder
from ke2nt.datasets.finding import Finding, make_finding
from ke2nt.datasets.text_files import location, portable_path, read_lines
from ke2nt.datasets.unknown_codes import describe_numbers, unknown_codes_error
from ke2nt.errors import DataError
from ke2nt.labels import DATASET_LABELS

__all__ = ["ExpW"]

_LISTS = ("label.lst", "label/label.lst", "data/label/label.lst", "data/label.lst")
_IMAGES = ("image/origin", "data/image/origin", "origin", "image", "images", "data/image", "")
_VALUES = 8


@dataclass(frozen=True, slots=True)
class _Face:
    image: Path
    number: str
    box: tuple[float, float, float, float]  # left, top, right, bottom
    confidence: float
    code: int


class ExpW(Reader):
    """ExpW: faces in photographs from the web, with boxes that a detector found.

    Every box is a sample, cut out as a square. There are no official splits.

    Args:
        root: Folder that holds `label/label.lst` and `image/origin`.
        margin: What is added to a box on each side, as a share of its longer side.
        min_confidence: Least confidence of the detector, 0 to 100; other faces are left out.
    """

    name = "expw"
    summary = "Faces in photographs from the web, with boxes, 7 classes, noisy labels"
    expected_tree = (
        "label/label.lst (image, face, top, left, right, bottom, confidence, expression)\n"
        "image/origin/….jpg …"
    )
    classes: tuple[str, ...] = DATASET_LABELS["expw"]
    splits: tuple[str, ...] = ("all",)

    def __init__(
        self, root: str | Path | None, *, margin: float = 0.0, min_confidence: float = 0.0
    ) -> None:
        if not 0 <= margin <= 2:
            raise DataError("margin is out of range", expected="0 to 2", found=margin)
        if not 0 <= min_confidence <= 100:
            raise DataError(
                "min_confidence is out of range", expected="0 to 100", found=min_confidence
            )
        super().__init__(root)
        self.margin, self.min_confidence = margin, min_confidence

    @classmethod
    def recognizes(cls, root: Path) -> bool:
        return any((root / name).is_file() for name in _LISTS)

    def read_samples(self, split: str) -> Iterable[FaceSample]:
        folder = first_folder(self.root, _IMAGES) or self.root
        finder = FileFinder(folder)
        for face in self._faces:
            if face.confidence >= self.min_confidence:
                path = finder.find(face.image.as_posix())
                source = ChangedImage(path, CropBox(*face.box, self.margin))
                name = f"{self.relative(path)}:{face.number}"
                yield FaceSample(name, source, face.code)

    def remarks(self) -> Iterable[Finding]:
        left_out = [f.image.name for f in self._faces if f.confidence < self.min_confidence]
        if left_out:
            message = f"{len(left_out)} faces with less confidence are left out"
            hint = f"min_confidence is {self.min_confidence:g}."
            yield make_finding("note", "low_confidence", message, left_out, hint)

    @cached_property
    def _faces(self) -> list[_Face]:
        path = next(self.root / name for name in _LISTS if (self.root / name).is_file())
        faces = [_parse_line(text, location(path, line)) for line, text in read_lines(path)]

        # unknown numbers are named together, with their counts
        unknown = [face.code for face in faces if not 0 <= face.code < len(self.classes)]
        if unknown:
            expected = describe_numbers(self.classes)
            raise unknown_codes_error(unknown, where=path, expected=expected)
        return faces


def _parse_line(text: str, where: str) -> _Face:
    parts = text.split()

    # the order of the sides is that of the published list
    try:
        if len(parts) != _VALUES:
            raise ValueError
        top, left, right, bottom, confidence = map(float, parts[2:7])
        code = int(parts[7])
        if right <= left or bottom <= top:
            raise ValueError
    except ValueError:
        raise DataError(
            "not a line of ExpW's label list",
            where=where,
            expected="image, face, top, left, right, bottom, confidence and expression",
            found=repr(text[:80]),
        ) from None
    return _Face(portable_path(parts[0]), parts[1], (left, top, right, bottom), confidence, code)
