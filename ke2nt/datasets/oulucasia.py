"""Oulu-CASIA NIR&VIS (Zhao et al., Image and Vision Computing 29(9), 2011)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Literal, get_args

from ke2nt.data.sample import FaceSample
from ke2nt.datasets.base import list_folders
from ke2nt.datasets.class_folders import list_images
from ke2nt.datasets.class_words import canonical_or_same
from ke2nt.datasets.subject_folds import SubjectReader
from ke2nt.datasets.unknown_codes import unknown_codes_error
from ke2nt.errors import DataError
from ke2nt.labels import DATASET_LABELS, NEUTRAL
from ke2nt.runtime.formatting import first_few

__all__ = ["OuluCASIA"]

_PEAK_FRAMES = 3
_DEPTH = 4
_MAX_FOLDERS = 200  # of one level; a tree of conditions has fewer

Spectrum = Literal["visible", "infrared"]
Light = Literal["strong", "weak", "dark"]
Images = Literal["cropped", "original"]


class OuluCASIA(SubjectReader):
    """Oulu-CASIA: 80 people pose six expressions under three lights, for two cameras.

    The last three frames of each sequence are its expression, the first one is neutral. One
    condition is read: usually visible light, strong, cropped. People are known, so folds never
    share a person; papers report on ten.

    Args:
        root: Folder that holds `PreProcess_Img` or `OriginalImg`, or one of these.
        spectrum: "visible" (VL) or "infrared" (NI) camera.
        light: "strong", "weak" or "dark".
        images: "cropped" faces or "original" frames.
        neutral: Whether the first frame of each sequence is a neutral sample.
        folds: Number of folds, at least 3.
        fold: Which fold to test on, from 0; None gives the one split `all`.
    """

    name = "oulucasia"
    summary = "Posed sequences under three lights, visible and infrared, 6 or 7 classes, subjects"
    expected_tree = (
        "PreProcess_Img/VL_Acropped/Strong/P001/Anger/000.jpeg … (also Weak, Dark, NI_Acropped)\n"
        "or: OriginalImg/VL/Strong/P001/Anger/000.jpeg …"
    )
    classes: tuple[str, ...] = DATASET_LABELS["oulucasia"]

    def __init__(
        self,
        root: str | Path | None,
        *,
        spectrum: str = "visible",
        light: str = "strong",
        images: str = "cropped",
        neutral: bool = True,
        folds: int = 10,
        fold: int | None = None,
    ) -> None:
        for value, known in ((spectrum, Spectrum), (light, Light), (images, Images)):
            if value not in get_args(known):
                raise DataError(
                    f"unknown condition {value!r} for oulucasia",
                    expected=f"one of {', '.join(get_args(known))}",
                )
        super().__init__(root, folds=folds, fold=fold)
        self.classes = tuple(c for c in type(self).classes if neutral or c != NEUTRAL)
        self._folder = self._choose(spectrum, light, images)

    @classmethod
    def recognizes(cls, root: Path) -> bool:
        return next(_conditions(root), None) is not None

    def read_faces(self) -> Iterator[FaceSample]:
        unknown = []
        for subject in list_folders(self._folder):
            for folder in list_folders(subject):
                name = canonical_or_same(folder.name, DATASET_LABELS["oulucasia"])
                if name not in DATASET_LABELS["oulucasia"]:
                    unknown.append(folder.name)
                    continue
                yield from self._read_sequence(folder, name, subject.name)
        if unknown:
            raise unknown_codes_error(
                unknown,
                where=self._folder,
                expected=", ".join(DATASET_LABELS["oulucasia"][1:]),
                message="folders of unknown expressions",
            )

    def _read_sequence(self, folder: Path, name: str, subject: str) -> Iterator[FaceSample]:
        """The peak of a sequence, and its first frame as neutral."""
        frames = list(list_images(folder))
        labeled = [(path, name) for path in frames[1:][-_PEAK_FRAMES:] or frames]
        if len(frames) > 1:
            labeled.insert(0, (frames[0], NEUTRAL))
        for path, label in labeled:
            if label in self.classes:
                index = self.classes.index(label)
                yield FaceSample(self.relative(path), path, index, subject=subject)

    def _choose(self, spectrum: str, light: str, images: str) -> Path:
        """The folder of a condition."""
        found = dict(_conditions(self.root))
        if (spectrum, light, images) in found:
            return found[spectrum, light, images]
        there = [f"spectrum={a} light={b} images={c}" for a, b, c in sorted(found)]
        raise DataError(
            f"no {images} images of {spectrum} light, {light}",
            where=self.root,
            expected="one of the conditions that are here",
            found=first_few(there, 6),
            hint="Name one with --option.",
        )


def _conditions(root: Path) -> Iterator[tuple[tuple[str, str, str], Path]]:
    """(spectrum, light, images) and folder of each condition below a root."""
    level = [root, *list_folders(root)]
    for _ in range(_DEPTH):
        for folder in level:
            key = _condition(folder)
            if key is not None:
                yield key, folder
        # people's folders hold no further conditions
        children = [child for f in level if f != root for child in list_folders(f)]
        level = [child for child in children if not _is_person(child)][:_MAX_FOLDERS]


def _condition(folder: Path) -> tuple[str, str, str] | None:
    """The condition of a folder by its name and those above it, if it holds people."""
    light = folder.name.lower()
    if light not in get_args(Light) or not any(map(_is_person, list_folders(folder))):
        return None
    camera = folder.parent.name.lower()
    spectrum = "infrared" if camera.startswith("ni") else "visible"
    above = " ".join(part.lower() for part in folder.parts[-4:-1])
    cropped = "crop" in above or "preprocess" in above
    return spectrum, light, "cropped" if cropped else "original"


def _is_person(folder: Path) -> bool:
    return re.fullmatch(r"P\d{3}", folder.name, re.IGNORECASE) is not None
