"""What a dataset on disk holds: counts per split and class, balance, images present."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ke2nt.data.images import decode, probe
from ke2nt.data.sample import FaceSample, FaceSplit
from ke2nt.datasets.base import Reader, is_present
from ke2nt.errors import ImageReadError

__all__ = ["dataset_info", "imbalance", "split_info"]

_MOST_VALUES = 20


def dataset_info(reader: Reader, splits: Sequence[str] | None = None) -> dict[str, Any]:
    """Facts about a dataset, as plain JSON; works from the annotations, images may be absent.

    Args:
        reader: The dataset.
        splits: Splits to describe; all by default.

    Returns:
        `dataset`, `root`, `classes`, and `splits`: split → `split_info`.

    Raises:
        DataError: A split is not known, or an annotation is damaged.
    """
    return {
        "dataset": reader.name,
        "root": None if reader.root is None else str(reader.root),
        "classes": list(reader.classes),
        "splits": {name: split_info(reader.index(name)) for name in splits or reader.splits},
    }


def split_info(split: FaceSplit) -> dict[str, Any]:
    """Counts of one split, as plain JSON.

    Returns:
        `samples`, `classes` (class → samples), `imbalance` (largest class / smallest class with
        samples, null without samples), `subjects` (null if unknown), `soft_labels`, `attributes`
        (attribute → value → samples, of attributes with up to 20 values), `images_present`,
        `images_missing`, and `image_size` ([width, height] of the first image that is present).
    """
    counts = Counter(sample.label for sample in split.samples)
    present = [sample for sample in split.samples if is_present(sample)]
    subjects = {sample.subject for sample in split.samples if sample.subject is not None}
    attributes: dict[str, Counter[str]] = {}
    for sample in split.samples:
        for key, value in sample.attributes.items():
            attributes.setdefault(key, Counter())[value] += 1
    return {
        "samples": len(split),
        "classes": {name: counts[i] for i, name in enumerate(split.classes)},
        "imbalance": imbalance(split),
        "subjects": len(subjects) or None,
        "soft_labels": any(sample.distribution is not None for sample in split.samples),
        "attributes": {
            key: dict(sorted(values.items()))
            for key, values in attributes.items()
            if len(values) <= _MOST_VALUES
        },
        "images_present": len(present),
        "images_missing": len(split) - len(present),
        "image_size": _size(present[0]) if present else None,
    }


def imbalance(split: FaceSplit) -> float | None:
    """Samples of the largest class / samples of the smallest that has any; None without samples."""
    counts = Counter(sample.label for sample in split.samples)
    return round(max(counts.values()) / min(counts.values()), 2) if counts else None


def _size(sample: FaceSample) -> list[int] | None:
    try:
        if isinstance(sample.source, Path):
            header = probe(sample.source)
            return [header.width, header.height]
        height, width = decode(sample.source).shape[:2]
        return [width, height]
    except ImageReadError:
        return None
