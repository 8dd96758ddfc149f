"""Deep supervision: every stage of the model answers for its own output."""

from __future__ import annotations

import math
from collections.abc import Sequence

from torch import Tensor, nn

from ke2nt.banks.text_bank import TextBank
from ke2nt.errors import ConfigError, ModelError
from ke2nt.losses.objective import KE2NTLoss
from ke2nt.models.output import KE2NTOutput

__all__ = ["DeepSupervisionLoss"]


class DeepSupervisionLoss(nn.Module):
    """L(fused output) + Σ_i λ_i L_i(output of stage i).

    Wang et al., "Training Deeper Convolutional Networks with Deep Supervision"
    (https://arxiv.org/abs/1505.02496), with the fused output in the place of the last layer's.

    Args:
        loss: L, of the fused output.
        stage_loss: L_i, of each stage's own output; None for L.
        weights: λ_i ≥ 0, one for all stages or one for each, shallow to deep.

    Raises:
        ConfigError: A weight is out of range.

    Example:
        >>> total, parts = DeepSupervisionLoss(KE2NTLoss())(model(images), labels, model.bank)
    """

    def __init__(
        self,
        loss: KE2NTLoss,
        stage_loss: KE2NTLoss | None = None,
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
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Total and parts.

        Args:
            output: Output for B images with S stages.
            labels: (B,) int64 class indices, or (B, K) rows that sum to 1.
            bank: Text embeddings of the K classes; None for linear heads.

        Returns:
            The scalar to differentiate, and detached: the fused output's parts before weighting,
            and the loss of each stage, "stage_1" the shallowest.

        Raises:
            ModelError: The output has no stages, another number of them than there are weights, or
                does not fit labels and bank.
        """
        if not output.stages:
            raise ModelError(
                "deep supervision needs the outputs of several stages",
                expected="a model with attention heads",
            )
        weights = self.weights * (len(output.stages) if len(self.weights) == 1 else 1)
        if len(weights) != len(output.stages):
            raise ModelError(
                "the weights of deep supervision do not fit the model",
                expected=f"{len(output.stages)} weights, one a stage",
                found=weights,
            )
        total, parts = self.loss(output, labels, bank)
        for number, (weight, stage) in enumerate(zip(weights, output.stages, strict=True), 1):
            if weight:
                own, _ = self.stage_loss(stage, labels, bank)
                total = total + weight * own
                parts[f"stage_{number}"] = own.detach()
        return total, parts
