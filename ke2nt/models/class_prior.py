"""The class shares that a model's logits assume, stored on its card."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Self

from ke2nt.errors import CheckpointError, ModelError

__all__ = ["ClassPrior"]

_SUM_TOLERANCE = 1e-3


@dataclass(frozen=True, slots=True)
class ClassPrior:
    """Class shares of the training labels, and those that the logits carry.

    A model trained on each image once carries the shares of its labels. One that draws rare classes
    more often carries the shares that it saw, and a logit adjustment α leaves their power 1 − α.

    Attributes:
        data: Class → share among the training labels, above 0, in index order; sums to 1.
        logits: Class → share that the logits carry.
        facts: How both come about, plain JSON: sampling, logit_adjustment, soft_labels, or the
            split that the labels were read from.

    Raises:
        ModelError: Shares are not above 0, do not sum to 1, or the classes differ.
    """

    data: Mapping[str, float]
    logits: Mapping[str, float]
    facts: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for shares in (self.data, self.logits):
            is_valid = all(0 < share < math.inf for share in shares.values())
            if not is_valid or abs(sum(shares.values()) - 1) > _SUM_TOLERANCE:
                raise ModelError(
                    "the class shares of a model are not valid",
                    expected="a share above 0 for each class, 1 in sum",
                    found=dict(shares),
                )
        if tuple(self.data) != tuple(self.logits):
            raise ModelError("the class shares of a model have different classes")

    @classmethod
    def from_card(cls, card: Mapping[str, Any], classes: tuple[str, ...]) -> Self | None:
        """Read it from a model's card; None if it has none, or one of other classes.

        Raises:
            CheckpointError: The stored value is damaged.
        """
        stored = card.get("class_prior")
        if stored is None:
            return None
        try:
            prior = cls(**stored)
        except (AttributeError, TypeError, ModelError) as error:
            raise CheckpointError(
                "the class shares on the model's card are damaged", found=error
            ) from error
        # a bank of other classes may have replaced those of the training
        return prior if tuple(prior.data) == classes else None

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON value, to be stored in `model.card["class_prior"]`."""
        return {"data": dict(self.data), "logits": dict(self.logits), "facts": dict(self.facts)}
