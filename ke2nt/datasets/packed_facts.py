"""The JSON file of a packed split: read, and checked against the array beside it."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from ke2nt.datasets.pack import FORMAT
from ke2nt.errors import DataError

__all__ = ["read_facts"]

_COLUMNS = ("names", "labels", "distributions", "subjects")

# Anything that damaged bytes or values of the wrong type can raise
_DAMAGE = (
    OSError,
    ValueError,
    KeyError,
    TypeError,
    AttributeError,
    RecursionError,
    EOFError,
)


def read_facts(path: Path) -> dict[str, Any]:
    """The columns of a packed split, complete and consistent with its array.

    Raises:
        DataError: The file or the array is damaged.
    """
    try:
        facts: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        if facts["format"] != FORMAT:
            raise ValueError(f"format {facts['format']}, not {FORMAT}")

        # the array is mapped, not read
        _check_array(facts, np.load(path.with_suffix(".npy"), mmap_mode="r"))
        _check_columns(facts)
        _check_texts(facts)
        _check_distributions(facts)
    except _DAMAGE as error:
        raise DataError(
            "the packed split is damaged",
            where=path,
            found=error,
            hint="Pack the dataset again: ke2nt data pack NAME ROOT --out FOLDER",
        ) from error
    return facts


def _check_array(facts: dict[str, Any], pixels: np.ndarray) -> None:
    """Raise ValueError unless an array holds images, and every row that the facts name."""
    if str(pixels.dtype) != "uint8" or pixels.ndim != 4 or pixels.shape[3] != 3:
        raise ValueError(f"an array {pixels.dtype} {pixels.shape}")
    if not all(_is_integer(row, len(pixels)) for row in facts["rows"]):
        raise ValueError("rows that the array does not have")

    side = facts.get("side")
    if side is not None and not (type(side) is int and side > 0):
        raise ValueError("a side that is not a number of pixels")


def _check_columns(facts: dict[str, Any]) -> None:
    """Raise ValueError unless columns have one length, and labels are classes."""
    columns = [facts[key] for key in _COLUMNS] + list(facts["attributes"].values())
    if {len(column) for column in columns} != {len(facts["rows"])}:
        raise ValueError("columns of different lengths")

    # class indices of the label set
    if not all(_is_integer(label, len(facts["classes"])) for label in facts["labels"]):
        raise ValueError("labels that are not class indices")


def _check_texts(facts: dict[str, Any]) -> None:
    """Raise ValueError unless names are texts, and class names are distinct."""
    optional: list[Iterable[Any]] = [facts["subjects"], *facts["attributes"].values()]
    texts = [facts["dataset"], *facts["classes"], *facts["names"]]
    texts += [value for column in optional for value in column if value is not None]
    if not all(isinstance(text, str) for text in texts):
        raise ValueError("names that are not text")

    if not facts["classes"] or len(set(facts["classes"])) != len(facts["classes"]):
        raise ValueError("classes that are not distinct names")


def _check_distributions(facts: dict[str, Any]) -> None:
    """Raise ValueError unless every label distribution has a number for each class."""
    for distribution in facts["distributions"]:
        if distribution is None:
            continue
        numbers = all(type(share) in (int, float) for share in distribution)
        if len(distribution) != len(facts["classes"]) or not numbers:
            raise ValueError("label distributions that do not fit the classes")


def _is_integer(value: object, limit: int) -> bool:
    """Whether a value is an int from 0 to limit − 1; True is not an int."""
    return type(value) is int and 0 <= value < limit
