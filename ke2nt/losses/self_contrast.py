"""L_c of KE2NT: the emotion's text is nearer to the expression than to the neutral embedding."""

from __future__ import annotations

from typing import Literal, get_args

import torch
from torch import Tensor, nn

from ke2nt.banks.text_bank import TextBank
from ke2nt.errors import ConfigError
from ke2nt.losses.inputs import SharedInputs, class_directions, compute_shared_inputs
from ke2nt.models.output import KE2NTOutput
from ke2nt.runtime.suggest import did_you_mean

__all__ = ["Pairing", "SelfContrastLoss"]

Pairing = Literal["batch", "paired"]


class SelfContrastLoss(nn.Module):
    """Mean of cos(t_y, f_n) − cos(t_y, f_e) + 2 over pairs of non-neutral samples.

    L_c of KE2NT (https://arxiv.org/abs/2409.08598). With pairing "batch", as published, the mean
    runs over all pairs (i, j): text of sample i against image j. The mean over pairs of a bilinear
    form is the form of the means, so it costs O(B·D). With "paired", i = j. The texts are those
    that the logits compare with (unit-norm, ensembled).

    Soft labels weigh each class by its probability and drop neutral: for "batch" the texts by
    Σ_i p_ik and the images by Σ_k≠neutral p_jk, both normalized; for "paired" each pair by p_jk.
    A batch without non-neutral samples gives exactly 0 with zero gradient.

    Args:
        pairing: "batch" or "paired".

    Raises:
        ConfigError: The pairing is unknown.

    Example:
        >>> loss = SelfContrastLoss(pairing="paired")(model(images), labels, model.bank)
    """

    def __init__(self, pairing: Pairing = "batch") -> None:
        super().__init__()
        pairings = get_args(Pairing)
        if pairing not in pairings:
            raise ConfigError(
                "unknown pairing of the self-contrast loss",
                expected=" or ".join(pairings),
                found=pairing,
                hint=did_you_mean(str(pairing), pairings),
            )
        self.pairing = pairing

    def forward(self, output: KE2NTOutput, labels: Tensor, bank: TextBank | None) -> Tensor:
        """Compute the loss of a batch.

        Args:
            output: A KE2NT model's output, embeddings and neutral embeddings (B, D).
            labels: (B,) int64 class indices, or (B, K) rows that sum to 1.
            bank: Text embeddings of the K classes.

        Returns:
            Scalar in [0, 4], float32 or float64.

        Raises:
            ModelError: A linear head's output, or shapes or labels that do not fit.
        """
        return self.compute(compute_shared_inputs(output, labels, bank))

    def compute(self, inputs: SharedInputs) -> Tensor:
        """Compute the loss from checked inputs, which L_t can share."""
        weights = inputs.weights
        with torch.autocast(inputs.expression.device.type, enabled=False):
            text = class_directions(inputs.bank, inputs.expression.dtype)
            contrast = inputs.neutral - inputs.expression

            if self.pairing == "batch":
                # (D,) means over all texts and over all images
                mean_text = weights.sum(dim=0) @ text
                mean_contrast = weights.sum(dim=1) @ contrast
                mean = mean_text @ mean_contrast
            else:
                mean = (weights * (contrast @ text.T)).sum()

            # the constant vanishes too in an all-neutral batch
            return mean + 2.0 * weights.any()
