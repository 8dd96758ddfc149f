"""Deep supervision: a loss for the output of every stage of the model."""

from __future__ import annotations

import math
from collections.abc import Sequence

from torch import Tensor, nn

from ke2nt.banks.text_bank import TextBank
from ke2nt.errors import ConfigError, ModelError
from ke2nt.losses.contract import Objective, ObjectiveResult
from ke2nt.models.output import KE2NTOutput

__all__ = ["DeepSupervisionLoss"]


class DeepSupervisionLoss(nn.Module):
    """L(fused output) + Σ_i λ_i L_i(output of stage i).

    Wang et al., "Training Deeper Convolutional Networks with Deep Supervision"
    (https://arxiv.org/abs/1505.02496), with the fused output in place of the last layer's.

    Args:
        loss: L, the objective of the fused output.
        stage_loss: L_i, the objective of each stage's output; None for L.
        weights: λ_i ≥ 0, one for all stages or one for each, shallow to deep.

    Raises:
        ConfigError: A weight is out of range.

    Example:
        >>> total, parts = DeepSupervisionLoss(KE2NTLoss())(model(images), labels, model.bank)
    """

    def __init__(
        self,
        loss: Objective,
        stage_loss: Objective | None = None,
        *,
        weights: float | Sequence[float] = 1.0,
    ) -> None:
        super().__init__()
        values = [weights] if isinstance(weights, int | float) else list(weights)
        if not values or not all(0 <= value < math.inf for value in values):
            raise ConfigError(
                "the weights of deep supervision are not valid",
                expected="numbers ≥ 0, one for all stages or one for each",
                found=weights,
            )
        self.loss = loss
        self.stage_loss = loss if stage_loss is None else stage_loss
        self.weights = values

    def forward(
        self, output: KE2NTOutput, labels: Tensor, bank: TextBank | None
    ) -> ObjectiveResult:
        """Compute the total and its parts for a batch.

        Args:
            output: Output for B images with S stages.
            labels: (B,) int64 class indices, or (B, K) rows that sum to 1.
            bank: Text embeddings of the K classes; None for linear heads.

        Returns:
            The weighted sum; the parts of the fused output's objective, and the total of each stage
            as "stage_1", the shallowest, to "stage_S". A stage of weight 0 is not computed.

        Raises:
            ModelError: The output has no stages, the number of weights differs from theirs, or
                output, labels and bank do not fit together.
        """
        weights = self._stage_weights(output)

        # the fused output, then each stage
        total, parts = self.loss(output, labels, bank)
        for number, (weight, stage) in enumerate(zip(weights, output.stages, strict=True), 1):
            if weight:
                stage_total, _ = self.stage_loss(stage, labels, bank)
                total = total + weight * stage_total
                parts[f"stage_{number}"] = stage_total.detach()
        return ObjectiveResult(total, parts)

    def _stage_weights(self, output: KE2NTOutput) -> list[float]:
        """One weight for each stage."""
        stages = len(output.stages)
        if not stages:
            raise ModelError(
                "deep supervision needs the outputs of several stages",
                expected="a model with attention heads",
            )

        # a single weight counts for every stage
        weights = self.weights * stages if len(self.weights) == 1 else self.weights
        if len(weights) != stages:
            raise ModelError(
                "the weights of deep supervision do not fit the model",
                expected=f"{stages} weights, one for each stage",
                found=weights,
            )
        return weights
