"""Describe a dataset on disk: counts per split and class, balance, images on disk."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from ke2nt.data.images import decode, probe
from ke2nt.data.sample import FaceSample, FaceSplit
from ke2nt.datasets.base import Reader, is_present
from ke2nt.errors import ImageReadError

__all__ = ["dataset_info", "imbalance", "split_info"]

_MAX_ATTRIBUTE_VALUES = 20


def dataset_info(reader: Reader, splits: Sequence[str] | None = None) -> dict[str, Any]:
    """Describe a dataset from its annotations, as plain JSON; images may be missing.

    Args:
        reader: The dataset.
        splits: Splits to describe; all by default.

    Returns:
        `dataset`, `root` (null for drawn faces), `classes`, `splits` (split → `split_info`), and
        `remarks`: how the data is read and what is left out.

    Raises:
        DataError: A split is unknown, or an annotation is damaged.
    """
    return {
        "dataset": reader.name,
        "root": None if reader.root is None else str(reader.root),
        "classes": list(reader.classes),
        "splits": {name: split_info(reader.index(name)) for name in splits or reader.splits},
        "remarks": [asdict(finding) for finding in reader.remarks()],
    }


def split_info(split: FaceSplit) -> dict[str, Any]:
    """Counts of one split, as plain JSON.

    Returns:
        `samples`, `classes` (class → samples), `imbalance` (largest class / smallest class with
        samples, null without samples), `subjects` (null if unknown), `soft_labels`, `attributes`
        (attribute → value → samples, of attributes with up to 20 values), `images_present`,
        `images_missing`, and `image_size` ([width, height] of the first image on disk).
    """
    counts = Counter(sample.label for sample in split.samples)
    present = [sample for sample in split.samples if is_present(sample)]
    subjects = {sample.subject for sample in split.samples if sample.subject is not None}

    # null stands for what is unknown or cannot be computed
    return {
        "samples": len(split),
        "classes": {name: counts[i] for i, name in enumerate(split.classes)},
        "imbalance": imbalance(split),
        "subjects": len(subjects) or None,
        "soft_labels": any(sample.distribution is not None for sample in split.samples),
        "attributes": _count_attributes(split),
        "images_present": len(present),
        "images_missing": len(split) - len(present),
        "image_size": _image_size(present[0]) if present else None,
    }


def imbalance(split: FaceSplit) -> float | None:
    """Samples of the largest class / samples of the smallest that has any; None without samples."""
    counts = Counter(sample.label for sample in split.samples)
    return round(max(counts.values()) / min(counts.values()), 2) if counts else None


def _count_attributes(split: FaceSplit) -> dict[str, dict[str, int]]:
    """Attribute → value → samples; attributes with many values, such as names, are left out."""
    counts: dict[str, Counter[str]] = defaultdict(Counter)
    for sample in split.samples:
        for name, value in sample.attributes.items():
            counts[name][value] += 1
    return {
        name: dict(sorted(values.items()))
        for name, values in counts.items()
        if len(values) <= _MAX_ATTRIBUTE_VALUES
    }


def _image_size(sample: FaceSample) -> list[int] | None:
    """[width, height] of an image, from its header where there is one."""
    try:
        # a header is read much faster than an image is decoded
        if isinstance(sample.source, Path):
            header = probe(sample.source)
            return [header.width, header.height]
        height, width = decode(sample.source).shape[:2]
        return [width, height]
    except ImageReadError:
        return None
