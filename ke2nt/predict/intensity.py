"""Intensity: how far a face has moved from neutral, along the text direction of an emotion."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Self

import numpy as np
from torch import Tensor

from ke2nt.banks.text_bank import TextBank
from ke2nt.errors import CheckpointError
from ke2nt.runtime.l2_normalize import l2_normalize

__all__ = ["IntensityScale", "intensity"]


def intensity(embeddings: Tensor, neutral: Tensor | None, bank: TextBank) -> Tensor:
    """Signed length of the projection of f_e − f_n on the unit vector of t_k − t_0, raw text.

    f_n is the embedding of a real neutral face. The one that KE2NT's network M imagines will not
    do: no loss sees its length, and the projection of f_e alone orders intensities better
    (`benchmarks/intensity.py`). `IntensityScale` takes off the projection of the median neutral
    face instead.

    Args:
        embeddings: (B, D) f_e.
        neutral: (1, D) or (B, D) f_n, of a neutral photo of the same person; None for 0.
        bank: Text embeddings of the K classes and of the neutral anchor, on the same device.

    Returns:
        (B, K) in units of the embedding space; 0 for a neutral class, whose direction is zero.
    """
    moves = embeddings if neutral is None else embeddings - neutral
    return moves @ l2_normalize((bank.raw - bank.neutral_raw).to(moves)).T


@dataclass(frozen=True, slots=True)
class IntensityScale:
    """What `intensity` is at rest and in a typical expression, class by class.

    Attributes:
        zero: Class → its value for the median neutral face. With a photo of the person's own
            neutral face it is 0.
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
