"""The reader "drawn": drawn faces in place of a dataset on disk."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from ke2nt.data.sample import FaceSample
from ke2nt.datasets.base import Reader
from ke2nt.drawn.dataset import SPLITS, DrawnFaces
from ke2nt.errors import DataError
from ke2nt.labels import CANONICAL

__all__ = ["DrawnReader"]


class DrawnReader(Reader):
    """Faces drawn on demand; nothing is read from disk.

    Args:
        root: None, as there is no folder; present for the common signature of readers.
        count, seed, size, identities, classes, min_intensity, occlusion: See `DrawnFaces`.
        style: One drawing style or several.
        workers: Worker processes.

    Raises:
        DataError: A folder is given, or a value is out of range.
    """

    name = "drawn"
    summary = "Faces drawn on demand; nothing is read from disk."
    expected_tree = "no folder: the faces are drawn from a seed"
    classes: tuple[str, ...] = CANONICAL
    splits: tuple[str, ...] = tuple(SPLITS)
    root = None  # type: ignore[assignment]  # the only reader without a folder

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
                "drawn faces are not read from a folder",
                found=root,
                hint="Leave out the root, or read a folder that `ke2nt data draw` wrote with the "
                "dataset manifest.",
            )

        # nothing is drawn yet, but all values are checked
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

    def read_samples(self, split: str) -> Iterable[FaceSample]:
        return self.faces.to_split(split, workers=self.workers).samples
