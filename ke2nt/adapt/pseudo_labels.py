"""Pseudo-labels, and the parts that learn from them."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from ke2nt.adapt.domain_batch import DomainBatch, PseudoLabels
from ke2nt.adapt.part import AdaptationPart, PartContext
from ke2nt.config.adapt import AdaptSection
from ke2nt.errors import ConfigError

__all__ = ["PseudoLabeler", "PseudoPart", "TextPart"]

_DECAY = 0.99


class PseudoLabeler(nn.Module):
    """Labels each target image with the class that the model predicts for it.

    With a balance γ > 0 the class is argmax_k p_k / q_k^γ, where q is the running mean of p over
    the target: a class that is predicted too often needs a higher probability. Whether a label is
    used depends on p alone.

    Args:
        num_classes: K.
        threshold: Smallest p of a label that is used, in [0, 1); 0 uses all.
        balance: γ in [0, 1].
    """

    mean: Tensor
    weight: Tensor

    def __init__(self, num_classes: int, threshold: float = 0.0, balance: float = 0.0) -> None:
        super().__init__()
        self.threshold, self.balance = threshold, balance
        self.register_buffer("mean", torch.zeros(num_classes))
        self.register_buffer("weight", torch.zeros(()))

    @torch.no_grad()
    def forward(self, logits: Tensor) -> PseudoLabels:
        """Label images by their (B, K) logits; training mode updates the running mean first."""
        probabilities = logits.float().softmax(dim=1)
        if self.training:
            self.mean.mul_(_DECAY).add_((1 - _DECAY) * probabilities.mean(dim=0))
            self.weight.mul_(_DECAY).add_(1 - _DECAY)

        # `weight` corrects the bias of a mean that started at zero
        scores = probabilities
        if self.balance and self.weight > 0:
            class_frequency = (self.mean / self.weight).clamp(min=1e-6)
            scores = probabilities / class_frequency.pow(self.balance)

        # the threshold looks at p, not at the balanced scores
        labels = scores.argmax(dim=1)
        confidence = probabilities.gather(1, labels[:, None]).squeeze(1)
        return PseudoLabels(labels, (confidence >= self.threshold).to(probabilities.dtype))


class PseudoPart(AdaptationPart):
    """Cross-entropy of the target logits with the pseudo-labels in use."""

    def forward(self, batch: DomainBatch, strength: float) -> Tensor:
        """Compute Σ_i w_i CE_i / B, times `strength`."""
        # (B_t,) cross-entropy of each image
        losses = functional.cross_entropy(
            batch.target.logits, batch.pseudo.labels, reduction="none"
        )
        return strength * (batch.pseudo.weights * losses).mean()


class TextPart(AdaptationPart):
    """The KE2NT objective of the source, applied to the target with its pseudo-labels.

    Raises:
        ConfigError: The model has a linear head.
    """

    def __init__(self, config: AdaptSection, context: PartContext) -> None:
        super().__init__(config, context)
        if context.bank is None:
            raise ConfigError(
                "the part text needs a text bank, and a linear head has none",
                expected="a model with a text head",
                found="a weight for the part text",
            )
        self.loss = context.loss

    def forward(self, batch: DomainBatch, strength: float) -> Tensor:
        """Compute the objective over images in use, times their share and `strength`."""
        used = batch.pseudo.weights > 0
        if not used.any():
            # a zero that still back-propagates
            return batch.target.logits.sum() * 0.0

        # the mean over the images in use, scaled to a mean over all B_t
        output = batch.target.map(lambda x: x[used])
        total, _ = self.loss(output, batch.pseudo.labels[used], batch.bank)
        return strength * used.float().mean() * total
