"""The reader "drawn": drawn faces in the place of a dataset on disk."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ke2nt.data.sample import FaceSplit
from ke2nt.drawn.dataset import SPLITS, DrawnFaces
from ke2nt.errors import DataError
from ke2nt.labels import CANONICAL

__all__ = ["DrawnReader"]


class DrawnReader:
    """Faces drawn on demand; nothing is read from disk.

    Args:
        root: None, as there is no folder; the place is kept for the readers' common signature.
        count, seed, size, identities, classes, min_intensity, occlusion: As for `DrawnFaces`.
        style: One drawing style or several.
        workers: Processes that draw.

    Raises:
        DataError: A folder was given, or a value is out of range.
    """

    name = "drawn"
    classes: tuple[str, ...] = CANONICAL
    splits: tuple[str, ...] = tuple(SPLITS)
    expected_tree = "no folder: the faces are drawn from a seed"

    def __init__(
        self,
        root: Path | str | None = None,
        *,
        count: int = 2400,
        seed: int = 0,
        size: int = 64,
        style: str | Sequence[str] = "photo",
        identities: int | None = None,
        classes: Sequence[str] = CANONICAL,
        min_intensity: float = 0.4,
        occlusion: float = 0.08,
        workers: int = 1,
    ) -> None:
        if root is not None:
            raise DataError(
                "synthetic faces are drawn, not read from a folder",
                found=root,
                hint="Leave the root out, or read a written folder with the reader manifest.",
            )
        self.faces = DrawnFaces(
            count,
            seed=seed,
            size=size,
            styles=(style,) if isinstance(style, str) else tuple(style),
            identities=identities,
            classes=tuple(classes),
            min_intensity=min_intensity,
            occlusion=occlusion,
        )
        self.classes = self.faces.classes
        self.workers = workers

    def load(self, split: str) -> FaceSplit:
        """Draw one split.

        Raises:
            DataError: Unknown split.
        """
        return self.faces.to_split(split, workers=self.workers)
