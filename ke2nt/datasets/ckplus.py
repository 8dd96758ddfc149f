"""CK+, the extended Cohn-Kanade sequences (Lucey et al., CVPR Workshops 2010)."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from pathlib import Path

from ke2nt.data.picture_formats import is_image_name
from ke2nt.data.sample import FaceSample
from ke2nt.datasets.base import list_entries
from ke2nt.datasets.ckplus_copies import CKCopy, find_ck_copy
from ke2nt.datasets.finding import Finding
from ke2nt.datasets.subject_folds import SubjectReader
from ke2nt.datasets.text_files import read_text
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


class CKPlus(SubjectReader):
    """CK+ in its official layout: the last three frames of each labeled sequence, at the peak.

    Subjects are known, so folds never share a person: the labeled subjects, sorted, are dealt to
    the folds in turn. Fold i is `test`, the next one `val`, the rest `train`. Two copies that
    circulate are read, too: the class folders CK+48, which have no neutral faces and tell people by
    their file names, and ckextended.csv, which has splits but does not tell people.

    Args:
        root: Folder that holds `cohn-kanade-images` and `Emotion`, the class folders of CK+48, or
            `ckextended.csv`.
        neutral: Whether the first frame of each labeled sequence is a neutral sample; otherwise
            the label set has no neutral class.
        folds: Number of folds, at least 3.
        fold: Which fold to test on, from 0; None gives the one split `all`.
    """

    name = "ckplus"
    summary = "Posed sequences from the laboratory, 7 or 8 classes, subjects known"
    expected_tree = (
        "cohn-kanade-images/S005/001/S005_001_00000001.png …\n"
        "Emotion/S005/001/S005_001_00000011_emotion.txt …\n"
        "or: anger/S010_004_00000017.png … (CK+48)\nor: ckextended.csv"
    )
    classes: tuple[str, ...] = DATASET_LABELS["ckplus"]

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
        super().__init__(root, folds=folds, fold=fold)

        # The options and the copy decide which classes and splits there are
        self.neutral = neutral
        self._copy: CKCopy | None = None if _has_sequences(self.root) else find_ck_copy(self.root)
        has_neutral = neutral and (self._copy is None or self._copy.has_neutral)
        self.classes = tuple(c for c in type(self).classes if has_neutral or c != NEUTRAL)
        if self._copy is not None:
            self.splits = self._copy.choose_splits(fold)

    @classmethod
    def recognizes(cls, root: Path) -> bool:
        return _has_sequences(root) or find_ck_copy(root) is not None

    def read_samples(self, split: str) -> Iterable[FaceSample]:
        if self._copy is not None and split in self._copy.splits:
            return self._copy.read(split, self.classes)
        return super().read_samples(split)

    def read_faces(self) -> Iterable[FaceSample]:
        if self._copy is not None:
            return self._copy.read(None, self.classes)
        return [face for sequence in self._sequences() for face in self._read_frames(*sequence)]

    def remarks(self) -> Iterable[Finding]:
        return () if self._copy is None else self._copy.findings()

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


def _has_sequences(root: Path) -> bool:
    folders = (_find_folder(root, names) for names in (_IMAGE_FOLDERS, _LABEL_FOLDERS))
    return all(folder is not None for folder in folders)


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
