"""Attributes of a split's faces as labels."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

import torch

from ke2nt.data.sample import FaceSplit
from ke2nt.errors import DataError
from ke2nt.losses.attributes import MISSING

__all__ = ["attribute_labels", "attribute_values"]

MOST_VALUES = 50


def attribute_values(
    split: FaceSplit, attributes: Sequence[str], missing: Collection[str]
) -> dict[str, tuple[str, ...]]:
    """The values of each attribute in a split, in alphabetical order.

    Raises:
        DataError: An attribute has fewer than two values there, or too many to be classes.
    """
    found = {}
    for name in attributes:
        seen = {sample.attributes.get(name) for sample in split.samples}
        values = sorted(value for value in seen if value is not None and value not in missing)
        if not 2 <= len(values) <= MOST_VALUES:
            known = {key for sample in split.samples for key in sample.attributes}
            names = ", ".join(sorted(known)) or "none"
            raise DataError(
                f"the attribute {name!r} cannot be learned",
                expected=f"2 to {MOST_VALUES} values; these faces have {names}",
                found=f"{len(values)} values",
                where=f"{split.dataset} {split.split}",
            )
        found[name] = tuple(values)
    return found


def attribute_labels(split: FaceSplit, values: Mapping[str, Sequence[str]]) -> torch.Tensor:
    """(N, A) int64 positions in each attribute's values; `MISSING` for any other value."""
    places = {name: {value: i for i, value in enumerate(known)} for name, known in values.items()}
    rows = [
        [places[name].get(sample.attributes.get(name, ""), MISSING) for name in values]
        for sample in split.samples
    ]
    return torch.tensor(rows, dtype=torch.int64)
