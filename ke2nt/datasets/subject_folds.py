"""Folds that never share a person: the protocol of the datasets from laboratories."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable
from functools import cached_property
from pathlib import Path

from ke2nt.data.sample import FaceSample
from ke2nt.datasets.base import Reader
from ke2nt.errors import DataError
from ke2nt.runtime.formatting import first_few

__all__ = ["SubjectReader"]


class SubjectReader(Reader):
    """A dataset whose people are known.

    The people, sorted, are dealt to the folds in turn. Fold i is `test`, the next one `val`, the
    rest `train`. Subclasses define `read_faces`.

    Args:
        root: The dataset's top folder.
        folds: Number of folds, at least 3.
        fold: Which fold to test on, from 0; None gives the one split `all`.
    """

    splits: tuple[str, ...] = ("all", "train", "val", "test")

    def __init__(
        self, root: str | Path | None, *, folds: int = 10, fold: int | None = None
    ) -> None:
        if not isinstance(folds, int) or folds < 3:
            raise DataError("folds is out of range", expected="3 or more", found=repr(folds))
        if fold is not None and (not isinstance(fold, int) or not 0 <= fold < folds):
            raise DataError("fold is out of range", expected=f"0 to {folds - 1}", found=repr(fold))
        super().__init__(root)
        self.folds, self.fold = folds, fold
        self.splits = ("all",) if fold is None else ("train", "val", "test")

    @abstractmethod
    def read_faces(self) -> Iterable[FaceSample]:
        """All samples of the dataset, with their subjects."""

    def read_samples(self, split: str) -> Iterable[FaceSample]:
        if self.fold is None:
            return self._faces

        # in any fold, a face of an unknown person may be one of somebody in another
        nameless = [face.name for face in self._faces if face.subject is None]
        if nameless:
            raise DataError(
                f"{len(nameless)} of {len(self._faces)} images do not tell the person, so that "
                "folds could share one",
                where=self.root,
                expected="a person for every image",
                found=first_few(nameless),
                hint="Rename these files as the others are named, or remove them; without the "
                "option fold the split all has them.",
            )
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
            if face.subject is not None and split_of.get(fold_of[face.subject], "train") == split
        ]

    @cached_property
    def _faces(self) -> list[FaceSample]:
        faces = list(self.read_faces())
        if not faces:
            raise self.layout_error("no labeled image or sequence was found")
        return faces
