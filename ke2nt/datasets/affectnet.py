"""AffectNet with 7 or 8 expressions (Mollahosseini, Hasani and Mahoor, IEEE TAFFC 2017)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np

from ke2nt.data.picture_formats import is_image_name
from ke2nt.data.sample import FaceSample
from ke2nt.datasets.affectnet_copies import AffectNetCopy, find_affectnet_copy
from ke2nt.datasets.base import Reader, list_entries
from ke2nt.datasets.file_finder import FileFinder
from ke2nt.datasets.finding import Finding
from ke2nt.datasets.fixed_classes import explain_fixed_classes
from ke2nt.datasets.tables import read_integer, read_table
from ke2nt.datasets.text_files import location, portable_path
from ke2nt.datasets.unknown_codes import describe_numbers, unknown_codes_error
from ke2nt.errors import DataError
from ke2nt.labels import DATASET_LABELS

__all__ = ["AffectNet7", "AffectNet8"]

_LISTS = {"train": "training.csv", "val": "validation.csv"}
_LIST_FOLDERS = ("", "Manually_Annotated_file_lists")
_IMAGE_FOLDERS = ("Manually_Annotated_Images", "Manually_Annotated/Manually_Annotated_Images")
_SETS = {"train": "train_set", "val": "val_set"}
_ARRAY_SUFFIX = "_exp.npy"
_REQUIRED = ("subDirectory_filePath", "expression")
# validation.csv was published without a header
_COLUMNS = (
    *("subDirectory_filePath", "face_x", "face_y", "face_width", "face_height"),
    *("facial_landmarks", "expression", "valence", "arousal"),
)
_CODES = (*DATASET_LABELS["affectnet8"], "none", "uncertain", "no face")
_CODES_HINT = (
    "Correct or delete the annotations with other numbers. For a list of words, use the dataset "
    "manifest."
)
_MAX_SCALAR_BYTES = 4096


class AffectNet8(Reader):
    """AffectNet, eight expressions: CSV lists, `.npy` files, class folders or YOLO text files.

    Faces without one of the classes (none, uncertain, no face) are left out. The test set was
    never published: papers report on `val`, so choose models on a part of `train`. Class folders
    that are numbers have AffectNet's numbers. The labels of `labels.csv` beside class folders are
    compared with the folders.

    Args:
        root: Folder that holds the lists, `train_set` and `val_set`, or the folders of classes or
            splits.
    """

    name = "affectnet8"
    summary = "Faces from the Internet, 8 classes; no public test set, papers report on val"
    expected_tree = (
        "training.csv and validation.csv, here or in Manually_Annotated_file_lists/\n"
        "Manually_Annotated_Images/689/….jpg\n"
        "or: train_set/images/0.jpg …\ntrain_set/annotations/0_exp.npy …\n"
        "val_set/images/… and val_set/annotations/…\n"
        "or: train/0/….jpg … or train/anger/….jpg … or anger/….jpg …\n"
        "or: data.yaml, train/images/….png … and train/labels/….txt …"
    )
    classes: tuple[str, ...] = DATASET_LABELS["affectnet8"]
    splits: tuple[str, ...] = ("train", "val")

    def __init__(self, root: str | Path | None) -> None:
        super().__init__(root)
        self._copy: AffectNetCopy | None = None
        self._finder = FileFinder(self.root)
        self.splits = tuple(split for split in type(self).splits if _has_split(self.root, split))
        if not self.splits:
            self._copy = find_affectnet_copy(self.root, self.name)
            assert self._copy is not None
            self._copy.check_table()
            self.splits = self._copy.splits
            if self._copy.folders is not None:
                self.classes = self._copy.folders.classes

    @classmethod
    def recognizes(cls, root: Path) -> bool:
        if any(_has_split(root, split) for split in _SETS):
            return True
        return find_affectnet_copy(root, cls.name) is not None

    @classmethod
    def explain(cls, root: Path) -> str | None:
        return explain_fixed_classes(root, cls.name)

    def remarks(self) -> Iterable[Finding]:
        return () if self._copy is None else self._copy.findings()

    def read_samples(self, split: str) -> Iterable[FaceSample]:
        if self._copy is not None:
            yield from self._copy.read(split, self.classes)
            return
        annotations = _annotation_folder(self.root, split)
        rows = self._read_arrays(annotations) if annotations.is_dir() else self._read_list(split)

        for path, text, where in rows:
            code = _read_code(text)
            if code is None:
                # all annotations before this one are right
                texts = [text, *(later for _, later, _ in rows)]
                raise unknown_codes_error(
                    [text for text in texts if _read_code(text) is None],
                    where=where,
                    expected=describe_numbers(_CODES),
                    hint=_CODES_HINT,
                )
            # Higher codes are not among the classes
            if code < len(self.classes):
                yield FaceSample(self.relative(path), path, code)

    def _read_arrays(self, annotations: Path) -> Iterator[tuple[Path, str, str]]:
        """Image, code and place of each `.npy` file, in the order of their numbers."""
        # images may have any suffix
        folder = annotations.parent / "images"
        images = {path.stem: path for path in list_entries(folder) if is_image_name(path)}
        files = [p for p in list_entries(annotations) if p.name.endswith(_ARRAY_SUFFIX)]

        # "10_exp.npy" comes after "9_exp.npy"
        for path in sorted(files, key=lambda p: (len(p.name), p.name)):
            stem = path.name.removesuffix(_ARRAY_SUFFIX)
            yield images.get(stem, folder / f"{stem}.jpg"), _read_array(path), str(path)

    def _read_list(self, split: str) -> Iterator[tuple[Path, str, str]]:
        """Image, code and place of each row of a CSV list."""
        path = _find_list(self.root, split)
        assert path is not None
        folder = _first_folder(self.root, _IMAGE_FOLDERS)

        for line, row in read_table(path, _REQUIRED, header=_COLUMNS):
            where = location(path, line)

            # an absolute path would replace the folder
            image = folder / portable_path(row["subDirectory_filePath"])
            if not image.is_relative_to(self.root):
                raise DataError(
                    "an image path is absolute",
                    where=where,
                    expected=f"a path below {folder}",
                    found=repr(row["subDirectory_filePath"]),
                )
            found = self._finder.find(image.relative_to(self.root).as_posix())
            yield found, row["expression"], where


class AffectNet7(AffectNet8):
    """AffectNet without contempt; otherwise like `AffectNet8`."""

    name = "affectnet7"
    summary = "AffectNet without contempt, 7 classes; no public test set, papers report on val"
    classes: tuple[str, ...] = DATASET_LABELS["affectnet7"]


def _has_split(root: Path, split: str) -> bool:
    return _annotation_folder(root, split).is_dir() or _find_list(root, split) is not None


def _annotation_folder(root: Path, split: str) -> Path:
    return root / _SETS[split] / "annotations"


def _find_list(root: Path, split: str) -> Path | None:
    paths = [root / folder / _LISTS[split] for folder in _LIST_FOLDERS]
    return next((path for path in paths if path.is_file()), None)


def _first_folder(root: Path, names: tuple[str, ...]) -> Path:
    """The first folder that exists, or the first name."""
    paths = [root / name for name in names]
    return next((path for path in paths if path.is_dir()), paths[0])


def _read_code(text: str) -> int | None:
    return read_integer(text, 0, len(_CODES) - 1)


def _read_array(path: Path) -> str:
    """The expression in an `_exp.npy` file: one number, stored as a number or as text."""
    try:
        if path.stat().st_size > _MAX_SCALAR_BYTES:
            raise ValueError("a file too large for one number")
        value = np.load(path, allow_pickle=False).reshape(()).item()
        text = value.decode("ascii") if isinstance(value, bytes) else str(value)
    except Exception as error:  # NumPy raises nearly anything on damaged headers
        raise DataError(
            "an annotation cannot be read", where=path, expected="one number", found=error
        ) from error
    return text.strip()
