"""Attributes of a split's faces as labels."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

import torch
from torch import Tensor

from ke2nt.data.sample import FaceSplit
from ke2nt.errors import DataError
from ke2nt.losses.attributes import MISSING

__all__ = ["encode_attributes", "find_attribute_values"]

MAX_VALUES = 50


def find_attribute_values(
    split: FaceSplit, attributes: Sequence[str], missing: Collection[str]
) -> dict[str, tuple[str, ...]]:
    """Return the values of each attribute in a split, in alphabetical order.

    Args:
        split: The faces.
        attributes: Names of the attributes.
        missing: Values that mean that the attribute is not known.

    Raises:
        DataError: An attribute has fewer than two values there, or too many to be classes.
    """
    values = {}
    for name in attributes:
        # too many values are free text or a number, not classes
        occurring = {sample.attributes.get(name) for sample in split.samples}
        known = sorted(value for value in occurring if value is not None and value not in missing)
        if not 2 <= len(known) <= MAX_VALUES:
            available = {key for sample in split.samples for key in sample.attributes}
            names = ", ".join(sorted(available)) or "none"
            raise DataError(
                f"the attribute {name!r} cannot be learned",
                expected=f"2 to {MAX_VALUES} values; these faces have {names}",
                found=f"{len(known)} values",
                where=f"{split.dataset} {split.split}",
            )

        # sorted, so that another order of the samples gives the same labels
        values[name] = tuple(known)
    return values


def encode_attributes(split: FaceSplit, values: Mapping[str, Sequence[str]]) -> Tensor:
    """Return (N, A) int64 indices into each attribute's values; `MISSING` for any other value."""
    index = {name: {value: i for i, value in enumerate(known)} for name, known in values.items()}

    # one row per face, one column per attribute
    rows = [
        [index[name].get(sample.attributes.get(name, ""), MISSING) for name in values]
        for sample in split.samples
    ]
    return torch.tensor(rows, dtype=torch.int64)
