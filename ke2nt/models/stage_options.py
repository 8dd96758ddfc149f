"""Options of attention heads, as a saved model keeps them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, Self, get_args

from ke2nt.errors import ModelError
from ke2nt.models.attention import BlockKind

__all__ = ["AverageKind", "FusionKind", "StageOptions"]

FusionKind = Literal["doubling", "learned", "fixed"]
AverageKind = Literal["directions", "logits", "probabilities"]
MAX_STAGES = 6


@dataclass(frozen=True, slots=True)
class StageOptions:
    """Attention heads on the deepest stages of an image encoder.

    Attributes:
        stages: How many stages have a head, 1 to 6.
        block: Attention on each stage's map: "channel_spatial", "channel", "spatial" or "none".
        reduction: Channels over hidden units of the channel attention.
        kernel: Side of the spatial attention's convolution, odd.
        fusion: Weights of the stages. "doubling": constant, each twice that of the stage before.
            "learned": trained, equal at first. "fixed": those of `fusion_weights`.
        fusion_weights: Fixed weights, shallow to deep, of any positive sum; None for equal ones.
        average: What of the stages is averaged for the fused logits: "directions" (unit-norm
            embeddings, which a linear head does not have), "logits" or "probabilities". None, as in
            models saved before the option existed: directions, and logits with a linear head.

    Raises:
        ModelError: A value is out of range.
    """

    stages: int = 3
    block: BlockKind = "channel_spatial"
    reduction: int = 16
    kernel: int = 7
    fusion: FusionKind = "doubling"
    fusion_weights: tuple[float, ...] | None = None
    average: AverageKind | None = None

    def __post_init__(self) -> None:
        # saved models store the weights as a list
        weights = self.fusion_weights
        if weights is not None:
            weights = tuple(map(float, weights))
            object.__setattr__(self, "fusion_weights", weights)

        requirements = {
            "stages from 1 to 6": 1 <= self.stages <= MAX_STAGES,
            f"block one of {', '.join(get_args(BlockKind))}": self.block in get_args(BlockKind),
            "reduction of at least 1": self.reduction >= 1,
            "an odd kernel": self.kernel % 2 == 1 and self.kernel > 0,
            f"fusion one of {', '.join(get_args(FusionKind))}": self.fusion in get_args(FusionKind),
            f"average one of {', '.join(get_args(AverageKind))}": self.average is None
            or self.average in get_args(AverageKind),
            "no fusion_weights unless fusion is fixed": weights is None or self.fusion == "fixed",
            "one fusion weight for each stage, none below 0, not all 0": weights is None
            or (len(weights) == self.stages and min(weights) >= 0 and sum(weights) > 0),
        }

        violated = [requirement for requirement, is_met in requirements.items() if not is_met]
        if violated:
            raise ModelError(
                "the options of the attention heads are not valid",
                expected="; ".join(violated),
                found=self.to_dict(),
            )

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON value."""
        weights = self.fusion_weights
        return {
            "stages": self.stages,
            "block": self.block,
            "reduction": self.reduction,
            "kernel": self.kernel,
            "fusion": self.fusion,
            "fusion_weights": None if weights is None else list(weights),
            "average": self.average,
        }

    @classmethod
    def from_dict(cls, value: Mapping[str, Any]) -> Self:
        """Inverse of `to_dict`.

        Raises:
            ModelError: A key is unknown, or a value is not valid.
        """
        try:
            return cls(**value)
        except TypeError as error:
            raise ModelError(
                "the options of the attention heads are not valid", found=error
            ) from error
