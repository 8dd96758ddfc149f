"""JAFFE, Japanese female facial expressions (Lyons et al., FG 1998)."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from itertools import islice
from pathlib import Path

from ke2nt.data.sample import FaceSample
from ke2nt.datasets.base import list_folders
from ke2nt.datasets.class_folders import list_images, walk_images
from ke2nt.datasets.class_words import canonical_or_same
from ke2nt.datasets.finding import Finding, make_finding
from ke2nt.datasets.subject_folds import SubjectReader
from ke2nt.datasets.unknown_codes import list_codes, unknown_codes_error
from ke2nt.labels import CANONICAL, DATASET_LABELS

__all__ = ["JAFFE"]

# Person, expression and its number, number of the image: KA.AN1.39.tiff
_NAME = re.compile(r"([A-Z]{2})[._-]([A-Z]{2})(\d+)[._-]+(\d+)", re.IGNORECASE)
_CODES: Mapping[str, str] = {
    "AN": "anger",
    "DI": "disgust",
    "FE": "fear",
    "HA": "happiness",
    "NE": "neutral",
    "SA": "sadness",
    "SU": "surprise",
}
_LOOK_AT = 20


class JAFFE(SubjectReader):
    """JAFFE: ten women pose seven expressions; file names carry person and expression.

    People are known, so folds never share a person; ten folds leave one out at a time.

    Args:
        root: Folder that holds the images, here or in subfolders.
        folds: Number of folds, at least 3.
        fold: Which fold to test on, from 0; None gives the one split `all`.
    """

    name = "jaffe"
    summary = "Posed faces of ten women, 256 px gray, 7 classes, subjects known"
    expected_tree = "KA.AN1.39.tiff … (person, expression and its number, number of the image)"
    classes: tuple[str, ...] = DATASET_LABELS["jaffe"]

    @classmethod
    def recognizes(cls, root: Path) -> bool:
        # most of some images must have such names
        codes = _look_at_codes(root)
        return 2 * sum(code in _CODES for code in codes) > len(codes)

    @classmethod
    def explain(cls, root: Path) -> str | None:
        # most names are of this form, but their codes are not those of JAFFE
        codes = _look_at_codes(root)
        if not codes or 2 * sum(map(bool, codes)) <= len(codes):
            return None
        found = (_code(path.name) for path in walk_images(root))
        unknown = [code for code in found if code and code not in _CODES]
        known = ", ".join(_CODES)
        return (
            f"file names have unknown codes of expressions, {list_codes(unknown)}; known: {known}"
        )

    def read_faces(self) -> Iterator[FaceSample]:
        unknown = []
        for path in walk_images(self.root):
            match = _NAME.match(path.name)
            if match is None:
                continue
            code = match[2].upper()
            if code not in _CODES:
                unknown.append(code)
                continue
            label = self.classes.index(_CODES[code])
            yield FaceSample(self.relative(path), path, label, subject=match[1].upper())

        if unknown:
            raise unknown_codes_error(
                unknown,
                where=self.root,
                expected=", ".join(_CODES),
                message="unknown codes of expressions in file names",
            )

    def remarks(self) -> Iterator[Finding]:
        other = [p.name for p in walk_images(self.root) if _NAME.match(p.name) is None]
        if other:
            message = f"{len(other)} images are left out, as their names are not those of JAFFE"
            hint = "Names are such as KA.AN1.39.tiff: person KA, anger."
            yield make_finding("warning", "other_names", message, other, hint)

        # names come first, but one of the two is wrong
        differing = [
            self.relative(path)
            for path in walk_images(self.root)
            if (folder := canonical_or_same(path.parent.name, CANONICAL)) in CANONICAL
            and _CODES.get(_code(path.name), folder) != folder
        ]
        if differing:
            message = f"{len(differing)} images are in the folder of another class than their name"
            hint = "They are read by their names; to read the folders, use the dataset folder."
            yield make_finding("warning", "other_folder", message, differing, hint)


def _look_at_codes(root: Path) -> list[str]:
    """Codes in the names of some images, "" for other names."""
    folders = [root, *list_folders(root)[:_LOOK_AT]]
    return [_code(path.name) for f in folders for path in islice(list_images(f), _LOOK_AT)]


def _code(name: str) -> str:
    match = _NAME.match(name)
    return match[2].upper() if match else ""
