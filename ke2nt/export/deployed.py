"""A model as one function from pixels to calibrated probabilities, and to its familiarity."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ke2nt.models.base import ExpressionModel
from ke2nt.runtime.l2_normalize import l2_normalize

__all__ = ["DeployedModel"]


class DeployedModel(nn.Module):
    """Normalization, recognizer, calibration and softmax in one graph.

    Args:
        model: Put in evaluation mode; its text embeddings and calibration become constants.
    """

    def __init__(self, model: ExpressionModel) -> None:
        super().__init__()
        self.model = model.eval()
        # (K, D), as `ke2nt.predict.intensity` has them
        bank = model.bank
        directions = None if bank is None else l2_normalize(bank.raw - bank.neutral_raw)
        self.directions: Tensor | None
        self.register_buffer("directions", directions, persistent=False)

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        """Compute the answers for a batch.

        Args:
            images: uint8 (B, S, S, 3), RGB, S = image_size, as image libraries return them.

        Returns:
            float32 (B, K) each: probabilities, whose rows sum to 1; logits before the calibration;
            and with a text head raw intensities, the projection of the embedding on the way of the
            texts from neutral to each class. If the model has a familiarity, also face scores and
            distances, float32 (B,) each.
        """
        # `normalize` alone: a graph has no branches for images of other types and sizes
        pixels = images.permute(0, 3, 1, 2).to(torch.float32)
        output = self.model(self.model.preprocessing.normalize(pixels))

        calibrated = output.logits
        if self.model.calibration is not None:
            calibrated = self.model.calibration.apply(calibrated)
        answers = [calibrated.softmax(dim=-1), output.logits]
        if self.directions is not None:
            answers.append(output.embeddings.to(torch.float32) @ self.directions.T)
        if self.model.familiarity is not None:
            answers.extend(self.model.familiarity.measure(output.embeddings).unbind(dim=-1))
        return tuple(answers)
