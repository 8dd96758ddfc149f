"""A model as one function from pixels to calibrated probabilities, and to its familiarity."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ke2nt.models.base import ExpressionModel

__all__ = ["DeployedModel"]


class DeployedModel(nn.Module):
    """Normalization, recognizer, calibration and softmax in one graph.

    Args:
        model: Put in evaluation mode; its text embeddings and calibration become constants.
    """

    def __init__(self, model: ExpressionModel) -> None:
        super().__init__()
        self.model = model.eval()

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        """Compute the probabilities of a batch, and how familiar its images are.

        Args:
            images: uint8 (B, S, S, 3), RGB, S = image_size, as image libraries return them.

        Returns:
            Probabilities, float32 (B, K), rows sum to 1; and if the model has a familiarity, face
            scores and distances, float32 (B,) each.
        """
        # `normalize` alone: a graph has no branches for images of other types and sizes
        pixels = images.permute(0, 3, 1, 2).to(torch.float32)
        output = self.model(self.model.preprocessing.normalize(pixels))
        logits = output.logits

        if self.model.calibration is not None:
            logits = self.model.calibration.apply(logits)
        probabilities = logits.softmax(dim=-1)
        if self.model.familiarity is None:
            return (probabilities,)
        return (probabilities, *self.model.familiarity.measure(output.embeddings).unbind(dim=-1))
