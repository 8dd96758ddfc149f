"""The reader "packed": a dataset that `ke2nt data pack` has decoded."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from ke2nt.data.sample import FaceSample, FaceSplit, PackedImage, packed_pixels
from ke2nt.datasets.base import Reader
from ke2nt.datasets.packed_facts import read_facts
from ke2nt.errors import DataError

__all__ = ["Packed"]


class Packed(Reader):
    """A folder written by `ke2nt data pack`; its splits bear the name of the packed dataset.

    Args:
        root: The folder.
    """

    name = "packed"
    summary = "Any dataset after `ke2nt data pack`: decoded once, mapped into memory"
    expected_tree = "<split>.npy\n<split>.json"
    classes: tuple[str, ...] = ()
    splits: tuple[str, ...] = ()

    def __init__(self, root: str | Path | None) -> None:
        super().__init__(root)

        # The folder may have been packed again since it was last read
        packed_pixels.cache_clear()
        self._facts = {path.stem: read_facts(path) for path in _facts_files(self.root)}
        self.splits = tuple(self._facts)

        label_sets = {tuple(facts["classes"]) for facts in self._facts.values()}
        if len(label_sets) > 1:
            raise DataError(
                "the splits have different label sets",
                where=self.root,
                hint="Pack all splits again from one dataset.",
            )
        self.classes = label_sets.pop()

    @classmethod
    def recognizes(cls, root: Path) -> bool:
        return bool(_facts_files(root))

    def index(self, split: str) -> FaceSplit:
        face_split = super().index(split)
        dataset = self._facts[split]["dataset"]
        return FaceSplit(dataset, split, face_split.classes, face_split.samples)

    def read_samples(self, split: str) -> Iterable[FaceSample]:
        facts, path = self._facts[split], self.root / f"{split}.npy"
        for i, row in enumerate(facts["rows"]):
            distribution = facts["distributions"][i]
            attributes = {key: values[i] for key, values in facts["attributes"].items()}
            yield FaceSample(
                name=facts["names"][i],
                source=PackedImage(path, row, facts.get("side")),
                label=facts["labels"][i],
                distribution=None if distribution is None else tuple(distribution),
                subject=facts["subjects"][i],
                attributes={k: v for k, v in attributes.items() if v is not None},
            )


def _facts_files(root: Path) -> list[Path]:
    return sorted(path for path in root.glob("*.json") if path.with_suffix(".npy").is_file())
