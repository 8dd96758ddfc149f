"""Intensity: how far a face has moved from neutral, along the text direction of an emotion."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Self

import numpy as np
from torch import Tensor
from torch.nn import functional

from ke2nt.errors import CheckpointError
from ke2nt.text.bank import TextBank

__all__ = ["IntensityScale", "intensity"]


def intensity(embeddings: Tensor, neutral: Tensor, bank: TextBank) -> Tensor:
    """Projection of f_e / |f_e| − f_n / |f_n| on the unit vector of t_k − t_0, raw text.

    Only the directions of f_e and f_n count: no loss of KE2NT sees their lengths.

    Args:
        embeddings: (B, D) f_e.
        neutral: (B, D) or (1, D) f_n, the same faces' neutral embeddings.
        bank: Text embeddings of the K classes and of the neutral anchor, on the same device.

    Returns:
        (B, K) in [-2, 2]; 0 for a neutral class, whose direction is zero.
    """
    moves = functional.normalize(embeddings) - functional.normalize(neutral)
    return moves @ functional.normalize((bank.raw - bank.neutral_raw).to(moves)).T


@dataclass(frozen=True, slots=True)
class IntensityScale:
    """What `intensity` is at rest and in a typical expression, class by class.

    Attributes:
        zero: Class → its value for a neutral face, measured from the neutral face that the model
            imagines. From a photo of the person's own neutral face it is 0.
        unit: Class → how far above zero a typical expression lies, above 0.

    Raises:
        CheckpointError: A number is out of range, or the two hold other classes.
    """

    zero: Mapping[str, float]
    unit: Mapping[str, float]

    def __post_init__(self) -> None:
        sound = self.zero.keys() == self.unit.keys() and all(
            math.isfinite(self.zero[name]) and 0 < self.unit[name] < math.inf for name in self.zero
        )
        if not sound:
            raise CheckpointError(
                "the model's scale of intensity is not valid",
                expected="zero and unit of the same classes, units above 0",
                found=asdict(self),
            )

    @classmethod
    def from_dict(cls, value: Any) -> Self:
        """Inverse of `to_dict`."""
        try:
            return cls(
                **{key: {k: float(v) for k, v in value[key].items()} for key in ("zero", "unit")}
            )
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise CheckpointError("the model's scale of intensity is damaged") from error

    def to_dict(self) -> dict[str, dict[str, float]]:
        """Plain JSON value."""
        return {"zero": dict(self.zero), "unit": dict(self.unit)}

    def apply(self, moves: np.ndarray, classes: Sequence[str], *, own_photo: bool) -> np.ndarray:
        """0 at rest, 1 in a typical expression.

        Args:
            moves: (B, K), from `intensity`.
            classes: K names; those without a scale stay as they are.
            own_photo: Whether a photo of the person was the neutral face.
        """
        zero = np.array([0.0 if own_photo else self.zero.get(name, 0.0) for name in classes])
        return (moves - zero) / np.array([self.unit.get(name, 1.0) for name in classes])
