"""YOLO's folders, names and label files."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import yaml

from ke2nt.data.crop import CropBox
from ke2nt.data.sample import ChangedImage, ImageSource
from ke2nt.datasets.base import list_entries, list_folders
from ke2nt.datasets.class_folders import list_images, normalize_split_name
from ke2nt.datasets.finding import Finding, make_finding
from ke2nt.datasets.fixed_classes import candidate_roots
from ke2nt.datasets.text_files import location, read_lines, read_text
from ke2nt.errors import DataError

__all__ = ["YoloFace", "YoloFolders", "background_finding", "find_yolo"]

_WHOLE = 0.99  # a box of at least this share of both sides is the whole image
_SLACK = 0.01  # of rounding
_SPLITS = ("train", "val", "test")


@dataclass(frozen=True, slots=True)
class YoloFace:
    """One box.

    Attributes:
        image: The image file.
        number: Class number, from 0.
        box: Center, width and height, as shares of the image's sides.
    """

    image: Path
    number: int
    box: tuple[float, float, float, float]

    def source(self, margin: float) -> ImageSource:
        """The face, or the image itself if the box covers it."""
        x, y, width, height = self.box
        if min(width, height) >= _WHOLE:
            return self.image
        left, top, right, bottom = x - width / 2, y - height / 2, x + width / 2, y + height / 2
        return ChangedImage(self.image, CropBox(left, top, right, bottom, margin, relative=True))


@dataclass(frozen=True)
class YoloFolders:
    """Splits of a dataset.

    Attributes:
        root: The folder that holds them.
        splits: Split → folder of images and folder of label files.
    """

    root: Path
    splits: Mapping[str, tuple[Path, Path]]

    def read_names(self, classes: str | Sequence[str] | None = None) -> list[str]:
        """Class names by number, from a YAML file or classes.txt unless they are given.

        Raises:
            DataError: There are no names, or the file is damaged.
        """
        if classes is not None:
            parts = classes.split(",") if isinstance(classes, str) else classes
            return [str(name).strip() for name in parts]

        # data.yaml has any name; classes.txt lies beside the splits or in a folder of labels
        for path in list_entries(self.root):
            if path.suffix.lower() in (".yaml", ".yml"):
                names = _read_yaml_names(path)
                if names:
                    return names
        for folder in (self.root, *(labels for _, labels in self.splits.values())):
            if (folder / "classes.txt").is_file():
                return [text for _, text in read_lines(folder / "classes.txt")]
        raise DataError(
            "nothing names the classes of the YOLO labels",
            where=self.root,
            expected="data.yaml with the key names, or classes.txt",
            hint="Add --option classes=A,B,C in the order of the numbers.",
        )

    def read(self, split: str, num_classes: int | None = None) -> Iterator[YoloFace]:
        """Boxes of a split, by image.

        Args:
            split: One of `splits`.
            num_classes: Number of names; without it, any number is taken.

        Raises:
            DataError: A label file is damaged, or a number has no name.
        """
        images, labels = self.splits[split]
        for image in list_images(images):
            path = labels / f"{image.stem}.txt"
            if path.is_file():
                for line, text in read_lines(path):
                    number, box = _parse_line(text, location(path, line), num_classes)
                    yield YoloFace(image, number, box)


def find_yolo(root: Path) -> YoloFolders | None:
    """The folders of images and labels at a root, or in the only folder there."""
    for candidate in candidate_roots(root):
        pairs = {}
        # SPLIT/images beside SPLIT/labels, or images/SPLIT beside labels/SPLIT
        for folder in list_folders(candidate):
            pairs[folder.name] = folder / "images", folder / "labels"
        for folder in list_folders(candidate / "images"):
            pairs.setdefault(folder.name, (folder, candidate / "labels" / folder.name))
        pairs.setdefault("all", (candidate / "images", candidate / "labels"))

        splits = {
            normalize_split_name(name): pair for name, pair in pairs.items() if _is_pair(*pair)
        }
        if splits:
            order = sorted(splits, key=lambda s: (_SPLITS.index(s) if s in _SPLITS else 3, s))
            return YoloFolders(candidate, {split: splits[split] for split in order})
    return None


def background_finding(
    folders: YoloFolders, faces: Mapping[str, Sequence[YoloFace]]
) -> Iterator[Finding]:
    """A note on images that no box names."""
    named = {face.image for split in faces.values() for face in split}
    pictures = [p for images, _ in folders.splits.values() for p in list_images(images)]
    empty = [path.relative_to(folders.root).as_posix() for path in pictures if path not in named]
    if empty:
        message = f"{len(empty)} images have no box and are left out"
        hint = "They have no label file, or an empty one."
        yield make_finding("note", "no_box", message, empty, hint)


def _is_pair(images: Path, labels: Path) -> bool:
    """Whether two folders hold images and text files."""
    has_labels = any(path.suffix == ".txt" for path in list_entries(labels))
    return has_labels and next(iter(list_images(images)), None) is not None


def _read_yaml_names(path: Path) -> list[str]:
    """The names in a dataset's YAML file, a list or a mapping from numbers; [] without them."""
    try:
        content = yaml.safe_load(read_text(path))
    except yaml.YAMLError as error:
        raise DataError("a YAML file is damaged", where=path, found=error) from error
    names = content.get("names") if isinstance(content, dict) else None
    if isinstance(names, dict):
        names = [names[number] for number in sorted(names)] if _counts_up(names) else None
    return [str(name) for name in names] if isinstance(names, list) else []


def _counts_up(names: Mapping[object, object]) -> bool:
    return set(names) == set(range(len(names)))


def _parse_line(
    text: str, where: str, num_classes: int | None
) -> tuple[int, tuple[float, float, float, float]]:
    """Class number and box of a line; polygons have more numbers and are framed."""
    parts = text.split()
    try:
        number, values = int(parts[0]), [float(part) for part in parts[1:]]
        if not re.fullmatch(r"\d+", parts[0]) or len(values) < 4:
            raise ValueError
    except (ValueError, IndexError):
        raise DataError(
            "not a line of YOLO labels",
            where=where,
            expected="class number, then x, y, width and height as shares of the image",
            found=repr(text[:60]),
        ) from None
    if num_classes is not None and number >= num_classes:
        raise DataError(
            "a class number has no name",
            where=where,
            expected=f"0 to {num_classes - 1}",
            found=number,
        )

    # points of a polygon come in pairs
    if len(values) > 4 and len(values) % 2 == 0:
        xs, ys = values[::2], values[1::2]
        left, top, right, bottom = min(xs), min(ys), max(xs), max(ys)
        return number, ((left + right) / 2, (top + bottom) / 2, right - left, bottom - top)
    return number, (values[0], values[1], values[2], values[3])
