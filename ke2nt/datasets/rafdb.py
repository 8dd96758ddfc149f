"""RAF-DB, basic expressions (Li, Deng and Du, CVPR 2017)."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from functools import cached_property
from pathlib import Path

from ke2nt.data.sample import FaceSample
from ke2nt.datasets.base import Reader
from ke2nt.datasets.tables import location, parse_integer, portable_path, read_lines, read_text
from ke2nt.errors import DataError
from ke2nt.labels import DATASET_LABELS

__all__ = ["RAFDB"]

_LABELS = Path("EmoLabel/list_patition_label.txt")  # spelled like this in the official release
_IMAGES = ("aligned", "original")

# Attribute → names by number
_ATTRIBUTES: Mapping[str, tuple[str, ...]] = {
    "gender": ("male", "female", "unsure"),
    "race": ("Caucasian", "African-American", "Asian"),
    "age": ("0-3", "4-19", "20-39", "40-69", "70+"),
}
_LANDMARK_NUMBERS = 10


class RAFDB(Reader):
    """RAF-DB in its official layout (the folder `basic`).

    Gender, race and age group come from `Annotation/manual`, where that folder is present.

    Args:
        root: Folder that holds `EmoLabel` and `Image`.
        images: "aligned" (100 px face crops) or "original" (whole photographs).
    """

    name = "rafdb"
    summary = (
        "Real-world faces from the Internet, 100 px aligned, 7 classes, demographic attributes"
    )
    expected_tree = (
        "EmoLabel/list_patition_label.txt\nImage/aligned/train_00001_aligned.jpg …\n"
        "Image/original/train_00001.jpg … (optional)\n"
        "Annotation/manual/train_00001_manu_attri.txt … (optional)"
    )
    classes: tuple[str, ...] = DATASET_LABELS["rafdb"]
    splits: tuple[str, ...] = ("train", "test")

    def __init__(self, root: str | Path | None, *, images: str = "aligned") -> None:
        if images not in _IMAGES:
            raise DataError(
                f"unknown images {images!r} for rafdb", expected=f"one of {', '.join(_IMAGES)}"
            )
        self.images = images
        super().__init__(root)

    @classmethod
    def recognizes(cls, root: Path) -> bool:
        return (root / _LABELS).is_file()

    def read_samples(self, split: str) -> Iterable[FaceSample]:
        annotations = self.root / "Annotation" / "manual"
        has_attributes = annotations.is_dir()

        for image, label in self._rows[split]:
            aligned = f"{image.stem}_aligned{image.suffix}"
            name = aligned if self.images == "aligned" else image.name
            path = self.root / "Image" / self.images / name

            file = annotations / f"{image.stem}_manu_attri.txt"
            attributes = _read_attributes(file) if has_attributes and os.path.isfile(file) else {}
            yield FaceSample(self.relative(path), path, label, attributes=attributes)

    @cached_property
    def _rows(self) -> dict[str, list[tuple[Path, int]]]:
        """Split → image and class index of each line."""
        path = self.root / _LABELS
        rows: dict[str, list[tuple[Path, int]]] = {split: [] for split in self.splits}
        for line, text in read_lines(path):
            name, _, number = text.replace("\t", " ").rpartition(" ")

            # The split is the first part of the image's name
            image = portable_path(name.strip())
            split = image.name.split("_")[0]
            if split not in rows:
                raise DataError(
                    "not a line of RAF-DB's label list",
                    where=location(path, line),
                    expected="an image name and a label, such as 'train_00001.jpg 5'",
                    found=repr(text[:80]),
                )

            # Labels count from 1
            label = parse_integer(number, where=location(path, line), low=1, high=len(self.classes))
            rows[split].append((image, label - 1))
        return rows


def _read_attributes(path: Path) -> dict[str, str]:
    """Gender, race and age group: the three numbers after the five lines of landmarks."""
    # ten landmark coordinates, then three codes
    numbers = read_text(path).split()
    codes = numbers[_LANDMARK_NUMBERS:]
    if len(codes) != len(_ATTRIBUTES):
        raise DataError(
            "not an annotation of RAF-DB",
            where=path,
            expected="five lines of two coordinates, then gender, race and age group",
            found=f"{len(numbers)} numbers" if codes else "too few numbers",
        )
    return {
        key: names[parse_integer(code, where=f"{path}, {key}", low=0, high=len(names) - 1)]
        for (key, names), code in zip(_ATTRIBUTES.items(), codes, strict=True)
    }
