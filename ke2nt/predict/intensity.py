"""Intensity: how far a face has moved from neutral, along the text direction of an expression."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from ke2nt.errors import CheckpointError

if TYPE_CHECKING:
    from torch import Tensor

    from ke2nt.banks.text_bank import TextBank

__all__ = ["IntensityScale", "compute_intensity"]


def compute_intensity(embeddings: Tensor, neutral: Tensor | None, bank: TextBank) -> Tensor:
    """Project f_e − f_n on the unit vector of t_k − t_0, all from raw text embeddings.

    f_n is the embedding of a photo of a neutral face. The neutral embedding that KE2NT's network M
    predicts is not used: no loss constrains its length, and the projection of f_e alone ranks
    intensities better (`benchmarks/intensity.py`). `IntensityScale` subtracts the projection of the
    median neutral face instead.

    Args:
        embeddings: (B, D) f_e.
        neutral: (1, D) or (B, D) f_n of a neutral photo of the same person; None for 0.
        bank: Text embeddings of the K classes and of the neutral anchor, on the same device.

    Returns:
        (B, K) signed lengths in units of the embedding space; 0 for a neutral class, whose
        direction is zero.
    """
    from ke2nt.runtime.l2_normalize import l2_normalize  # torch

    moves = embeddings if neutral is None else embeddings - neutral
    directions = l2_normalize((bank.raw - bank.neutral_raw).to(moves))
    return moves @ directions.T


@dataclass(frozen=True, slots=True)
class IntensityScale:
    """Raw intensity of a neutral face and of a typical expression, for each class.

    Attributes:
        zero: Class → raw intensity of the median neutral face. It is replaced by 0 if a neutral
            photo of the person is given.
        unit: Class → distance of a typical expression from `zero`, above 0.

    Raises:
        CheckpointError: A number is out of range, or the classes of the two differ.
    """

    zero: Mapping[str, float]
    unit: Mapping[str, float]

    def __post_init__(self) -> None:
        # NaN would make every intensity NaN
        same_classes = self.zero.keys() == self.unit.keys()
        valid_zeros = all(math.isfinite(value) for value in self.zero.values())
        valid_units = all(0 < value < math.inf for value in self.unit.values())
        if not (same_classes and valid_zeros and valid_units):
            raise CheckpointError(
                "the intensity scale of the model is not valid",
                expected="zero and unit of the same classes, units above 0",
                found=asdict(self),
            )

    @classmethod
    def from_dict(cls, value: Any) -> Self:
        """Create from the result of `to_dict`.

        Raises:
            CheckpointError: The value is damaged.
        """
        try:
            zero = {name: float(number) for name, number in value["zero"].items()}
            unit = {name: float(number) for name, number in value["unit"].items()}
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise CheckpointError("the intensity scale of the model is damaged") from error
        return cls(zero, unit)

    def to_dict(self) -> dict[str, dict[str, float]]:
        """Convert to a plain JSON value."""
        return {"zero": dict(self.zero), "unit": dict(self.unit)}

    def apply(
        self, moves: np.ndarray, classes: Sequence[str], *, neutral_photo: bool
    ) -> np.ndarray:
        """Scale raw intensities: 0 for a neutral face, 1 for a typical expression.

        Args:
            moves: (B, K), from `compute_intensity`.
            classes: K names; classes without a scale keep their raw intensity.
            neutral_photo: Whether the moves start from a neutral photo of the person.

        Returns:
            (B, K).
        """
        # a neutral photo is the zero itself
        zeros = {} if neutral_photo else self.zero
        zero = np.array([zeros.get(name, 0.0) for name in classes])
        unit = np.array([self.unit.get(name, 1.0) for name in classes])
        return (moves - zero) / unit
