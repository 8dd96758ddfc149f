"""CK+, the extended Cohn-Kanade sequences (Lucey et al., CVPR Workshops 2010)."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from functools import cached_property
from pathlib import Path

from ke2nt.data.images import is_image_name
from ke2nt.data.sample import FaceSample
from ke2nt.datasets.base import Reader, list_entries
from ke2nt.datasets.tables import read_text
from ke2nt.errors import DataError
from ke2nt.labels import DATASET_LABELS, NEUTRAL

__all__ = ["CKPlus"]

_IMAGE_FOLDERS = (
    "cohn-kanade-images",
    "extended-cohn-kanade-images/cohn-kanade-images",
    "extended-cohn-kanade-images",
)
_LABEL_FOLDERS = ("Emotion", "Emotion_labels/Emotion", "Emotion_labels")
_LABEL_SUFFIX = "_emotion.txt"
_PEAK_FRAMES = 3


class CKPlus(Reader):
    """CK+ in its official layout: the last three frames of each labeled sequence, at the peak.

    Subjects are known, so folds never share a person: the labeled subjects, sorted, are dealt to
    the folds in turn. Fold i is `test`, the next one `val`, the rest `train`.

    Args:
        root: Folder that holds `cohn-kanade-images` and `Emotion`.
        neutral: Whether the first frame of each labeled sequence is a neutral sample; otherwise
            the label set has no neutral class.
        folds: Number of folds, at least 3.
        fold: Which fold to test on, from 0; None gives the one split `all`.
    """

    name = "ckplus"
    summary = "Posed sequences from the laboratory, 7 or 8 classes, subjects known"
    expected_tree = (
        "cohn-kanade-images/S005/001/S005_001_00000001.png …\n"
        "Emotion/S005/001/S005_001_00000011_emotion.txt …"
    )
    classes: tuple[str, ...] = DATASET_LABELS["ckplus"]
    splits: tuple[str, ...] = ("all", "train", "val", "test")

    def __init__(
        self,
        root: str | Path | None,
        *,
        neutral: bool = True,
        folds: int = 10,
        fold: int | None = None,
    ) -> None:
        if not isinstance(neutral, bool):
            raise DataError("neutral must be true or false", found=repr(neutral))
        if not isinstance(folds, int) or folds < 3:
            raise DataError("folds is out of range", expected="3 or more", found=repr(folds))
        if fold is not None and (not isinstance(fold, int) or not 0 <= fold < folds):
            raise DataError("fold is out of range", expected=f"0 to {folds - 1}", found=repr(fold))
        super().__init__(root)

        # The options decide which classes and splits there are
        self.neutral, self.folds, self.fold = neutral, folds, fold
        self.classes = tuple(c for c in type(self).classes if neutral or c != NEUTRAL)
        self.splits = ("all",) if fold is None else ("train", "val", "test")

    @classmethod
    def recognizes(cls, root: Path) -> bool:
        folders = (_find_folder(root, names) for names in (_IMAGE_FOLDERS, _LABEL_FOLDERS))
        return all(folder is not None for folder in folders)

    def read_samples(self, split: str) -> Iterable[FaceSample]:
        if self.fold is None:
            return self._faces

        subjects = sorted({face.subject for face in self._faces if face.subject is not None})
        if len(subjects) < self.folds:
            raise DataError(
                "more folds than subjects", expected=f"at most {len(subjects)}", found=self.folds
            )

        # One fold is the test split, the next one the validation split
        fold_of = {subject: i % self.folds for i, subject in enumerate(subjects)}
        split_of = {self.fold: "test", (self.fold + 1) % self.folds: "val"}
        return [
            face
            for face in self._faces
            if split_of.get(fold_of[face.subject or ""], "train") == split
        ]

    @cached_property
    def _faces(self) -> list[FaceSample]:
        faces = [face for sequence in self._sequences() for face in self._read_frames(*sequence)]
        if not faces:
            raise self.layout_error("no labeled sequence was found")
        return faces

    def _sequences(self) -> Iterator[tuple[Path, str]]:
        """Label file and class of each labeled sequence, by subject and number."""
        folder = _find_folder(self.root, _LABEL_FOLDERS)
        assert folder is not None
        sequences = (s for subject in list_entries(folder) for s in list_entries(subject))

        # Most sequences have no label
        for sequence in sequences:
            files = [path for path in list_entries(sequence) if path.name.endswith(_LABEL_SUFFIX)]
            if len(files) > 1:
                raise DataError("a sequence has more than one label", where=sequence)
            for path in files:
                yield path, _read_class(path)

    def _read_frames(self, label_file: Path, name: str) -> Iterator[FaceSample]:
        """The peak of a sequence, and its first frame as neutral."""
        subject, sequence = label_file.parts[-3:-1]
        images = _find_folder(self.root, _IMAGE_FOLDERS)
        assert images is not None
        folder = images / subject / sequence

        # Without frames, the labeled one is still listed, so that it counts as a missing image
        frames = [path for path in list_entries(folder) if is_image_name(path)]
        if not frames:
            frames = [folder / f"{label_file.name.removesuffix(_LABEL_SUFFIX)}.png"]

        labeled = [(path, name) for path in frames[1:][-_PEAK_FRAMES:] or frames]
        if len(frames) > 1:
            labeled.insert(0, (frames[0], NEUTRAL))
        for path, label in labeled:
            if label in self.classes:
                index = self.classes.index(label)
                yield FaceSample(self.relative(path), path, index, subject=subject)


def _find_folder(root: Path, names: tuple[str, ...]) -> Path | None:
    """The first folder that holds a subject's folder (S005)."""
    for name in names:
        if any(re.fullmatch(r"S\d+", path.name) for path in list_entries(root / name)):
            return root / name
    return None


def _read_class(path: Path) -> str:
    # one number, written as 3.0000000e+00
    text = read_text(path).strip()
    names = DATASET_LABELS["ckplus"]
    try:
        return {float(i): name for i, name in enumerate(names)}[float(text)]
    except (KeyError, ValueError):
        raise DataError(
            "not an emotion label of CK+",
            where=path,
            expected=f"a number 0 to {len(names) - 1}, such as 3.0000000e+00",
            found=repr(text[:40]),
        ) from None
