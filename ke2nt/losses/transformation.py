"""L_t of KE2NT: the image moves from emotion to neutral as the text does."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ke2nt.banks.text_bank import TextBank
from ke2nt.losses.inputs import SharedInputs, compute_shared_inputs, moves_from_neutral
from ke2nt.models.output import KE2NTOutput

__all__ = ["TransformationLoss"]


class TransformationLoss(nn.Module):
    """Mean over the non-neutral samples of 1 − cos(f_e − f_n, t_y − t_0).

    L_t of KE2NT (https://arxiv.org/abs/2409.08598). The text embeddings are the raw ones, not
    normalized before the difference. For soft labels it is the expectation
    Σ_i Σ_k≠neutral p_ik (1 − cos(f_e,i − f_n,i, t_k − t_0)) / Σ_i Σ_k≠neutral p_ik, which equals
    the above for one-hot rows. A batch without non-neutral samples gives exactly 0 with zero
    gradient; so does the cosine of a sample whose f_e equals f_n.

    Example:
        >>> loss = TransformationLoss()(model(images), labels, model.bank)
    """

    def forward(self, output: KE2NTOutput, labels: Tensor, bank: TextBank | None) -> Tensor:
        """Compute the loss of a batch.

        Args:
            output: A KE2NT model's output, embeddings and neutral embeddings (B, D).
            labels: (B,) int64 class indices, or (B, K) rows that sum to 1.
            bank: Text embeddings of the K classes.

        Returns:
            Scalar in [0, 2], float32 or float64.

        Raises:
            ModelError: A linear head's output, or shapes or labels that do not fit.
        """
        return self.compute(compute_shared_inputs(output, labels, bank))

    def compute(self, inputs: SharedInputs) -> Tensor:
        """Compute the loss from checked inputs, which L_c can share."""
        with torch.autocast(inputs.move.device.type, enabled=False):
            text_moves = moves_from_neutral(inputs.bank, inputs.move.dtype)
            # (B, K) cosine of every image's move with every class's move
            cosines = inputs.move @ text_moves.T
            return (inputs.weights * (1 - cosines)).sum()
