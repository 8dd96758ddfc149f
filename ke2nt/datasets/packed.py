"""A dataset that `ke2nt data pack` has decoded."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from ke2nt.data.sample import FaceSample, FaceSplit, PackedImage, packed_pixels
from ke2nt.datasets.base import Reader
from ke2nt.datasets.pack import FORMAT
from ke2nt.errors import DataError

__all__ = ["Packed"]


class Packed(Reader):
    """The folder that `ke2nt data pack` wrote; its splits bear the name of the dataset packed.

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
        packed_pixels.cache_clear()  # the folder may have been packed anew
        self._facts = {path.stem: _facts(path) for path in _notes(self.root)}
        self.splits = tuple(self._facts)
        label_sets = {tuple(facts["classes"]) for facts in self._facts.values()}
        if len(label_sets) > 1:
            raise DataError("the splits have different label sets", where=self.root)
        self.classes = label_sets.pop()

    @classmethod
    def recognizes(cls, root: Path) -> bool:
        return bool(_notes(root))

    def index(self, split: str) -> FaceSplit:
        found = super().index(split)
        return FaceSplit(self._facts[split]["dataset"], split, found.classes, found.samples)

    def read_samples(self, split: str) -> Iterable[FaceSample]:
        facts, path = self._facts[split], self.root / f"{split}.npy"
        for i, row in enumerate(facts["rows"]):
            shares = facts["distributions"][i]
            yield FaceSample(
                name=facts["names"][i],
                source=PackedImage(path, row, facts.get("side")),
                label=facts["labels"][i],
                distribution=None if shares is None else tuple(shares),
                subject=facts["subjects"][i],
                attributes={k: v[i] for k, v in facts["attributes"].items() if v[i] is not None},
            )


def _notes(root: Path) -> list[Path]:
    return sorted(p for p in root.glob("*.json") if p.with_suffix(".npy").is_file())


def _facts(path: Path) -> dict[str, Any]:
    """The columns of a split, whole and in agreement with its array.

    Raises:
        DataError: They are damaged.
    """
    columns = ("names", "labels", "distributions", "subjects")
    try:
        facts: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        if facts["format"] != FORMAT:
            raise ValueError(f"format {facts['format']}, not {FORMAT}")
        pixels = np.load(path.with_suffix(".npy"), mmap_mode="r")
        count = len(facts["rows"])
        if {len(facts[key]) for key in columns} | {
            len(values) for values in facts["attributes"].values()
        } != {count}:
            raise ValueError("columns of different length")
        if not all(type(row) is int and 0 <= row < len(pixels) for row in facts["rows"]):
            raise ValueError("rows that the array does not have")
        side = facts.get("side")
        if side is not None and not (type(side) is int and side > 0):
            raise ValueError("a side that is no number of pixels")
        _check_names(facts)
        classes = len(facts["classes"])
        if not all(type(label) is int and 0 <= label < classes for label in facts["labels"]):
            raise ValueError("labels that are no class")
        if str(pixels.dtype) != "uint8" or pixels.ndim != 4 or pixels.shape[3] != 3:
            raise ValueError(f"an array {pixels.dtype} {pixels.shape}")
    except (
        OSError,
        ValueError,
        KeyError,
        TypeError,
        AttributeError,
        RecursionError,
        EOFError,
    ) as error:
        raise DataError(
            "the packed split is damaged",
            where=path,
            found=error,
            hint="Pack the dataset again: ke2nt data pack NAME ROOT --out FOLDER",
        ) from error
    return facts


def _check_names(facts: dict[str, Any]) -> None:
    """Raise ValueError unless names are texts and shares are rows of the label set."""
    texts = [facts["dataset"], *facts["classes"], *facts["names"]]
    texts += [value for value in facts["subjects"] if value is not None]
    for values in facts["attributes"].values():
        texts += [value for value in values if value is not None]
    if not all(isinstance(text, str) for text in texts):
        raise ValueError("names that are no text")
    if not facts["classes"] or len(set(facts["classes"])) != len(facts["classes"]):
        raise ValueError("classes that are not different names")
    rows = [shares for shares in facts["distributions"] if shares is not None]
    lengths = {len(shares) for shares in rows}
    if not lengths <= {len(facts["classes"])} or not all(
        type(share) in (int, float) for shares in rows for share in shares
    ):
        raise ValueError("shares that do not fit the classes")
