"""SFEW 2.0, static facial expressions in the wild (Dhall et al., ICMI 2015)."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from pathlib import Path

from ke2nt.data.sample import FaceSample
from ke2nt.datasets.base import Reader, list_folders
from ke2nt.datasets.class_folders import ALL, ClassTree, read_class_tree, walk_images
from ke2nt.datasets.class_words import canonical_or_same
from ke2nt.datasets.finding import Finding, make_finding
from ke2nt.errors import DataError
from ke2nt.labels import DATASET_LABELS

__all__ = ["SFEW"]

_DEPTH = 3
# Movie, time and frame: Airheads_000519240_00000005.png
_FRAME = re.compile(r".+_\d{9}_\d{8}\b")


class SFEW(Reader):
    """SFEW 2.0: frames of movies, in the folders Train and Val; the test set has no labels.

    Papers report on `val`, so choose models on a part of `train`.

    Args:
        root: Folder that holds `Train` and `Val`.
        images: "aligned" faces or "original" frames.
    """

    name = "sfew"
    summary = "Faces of movies, 7 classes; the labels of the test set are not public"
    expected_tree = (
        "Train/Train_Aligned_Faces/Angry/….png …\nVal/Val_Aligned_Faces_new/Angry/….png …\n"
        "(or Train_Aligned_Faces/Angry/…, Train/Angry/…)"
    )
    classes: tuple[str, ...] = DATASET_LABELS["sfew"]
    splits: tuple[str, ...] = ("train", "val")

    def __init__(self, root: str | Path | None, *, images: str = "aligned") -> None:
        if images not in ("aligned", "original"):
            raise DataError(
                f"unknown images {images!r} for sfew", expected="one of aligned, original"
            )
        super().__init__(root)
        self._trees = _find_trees(self.root, aligned=images == "aligned")
        if not self._trees:
            other = "original" if images == "aligned" else "aligned"
            raise self.layout_error(
                f"no {images} faces in class folders were found",
                hint=f"For the images that are here, add --option images={other}.",
            )
        self.splits = tuple(self._trees)

    @classmethod
    def recognizes(cls, root: Path) -> bool:
        return bool(_find_trees(root, aligned=True) or _find_trees(root, aligned=False))

    @classmethod
    def is_likely(cls, root: Path) -> bool:
        trees = [
            *_find_trees(root, aligned=True).values(),
            *_find_trees(root, aligned=False).values(),
        ]
        return any(map(_is_sfew, trees))

    def read_samples(self, split: str) -> Iterable[FaceSample]:
        for word, path in self._trees[split].images(ALL):
            label = self.classes.index(canonical_or_same(word, self.classes))
            yield FaceSample(self.relative(path), path, label)

    def remarks(self) -> Iterator[Finding]:
        for tree in self._trees.values():
            yield from tree.findings()
        tests = [f.name for f in list_folders(self.root) if f.name.lower().startswith("test")]
        if tests:
            message = f"{', '.join(tests)} has no public labels and is left out"
            hint = "Report on val, as papers do."
            yield make_finding("note", "unlabeled", message, tests, hint)


def _find_trees(root: Path, *, aligned: bool) -> dict[str, ClassTree]:
    """Split → class folders, whose path says that they are aligned, or does not."""
    trees: dict[str, ClassTree] = {}
    for split in ("train", "val"):
        level = [folder for folder in list_folders(root) if folder.name.lower().startswith(split)]
        for _ in range(_DEPTH):
            for folder in level:
                is_aligned = "align" in folder.relative_to(root).as_posix().lower()
                if split not in trees and is_aligned == aligned:
                    tree = read_class_tree(folder)
                    if _has_classes(tree):
                        trees[split] = tree
            level = [child for folder in level for child in list_folders(folder)]
    return trees


def _has_classes(tree: ClassTree) -> bool:
    """Whether all class folders, at least half of the classes, are those of SFEW."""
    classes = DATASET_LABELS["sfew"]
    names = {canonical_or_same(word, classes) for word in tree.words()}
    return list(tree.splits) == [ALL] and names <= set(classes) and 2 * len(names) >= len(classes)


def _is_sfew(tree: ClassTree) -> bool:
    """Whether a folder says that faces are aligned, or images are named as frames of movies."""
    if "align" in tree.root.name.lower():
        return True
    first = next(walk_images(tree.root), None)
    return first is not None and _FRAME.match(first.name) is not None
