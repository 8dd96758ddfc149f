"""Pseudo-labels, and the parts that learn from them."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from ke2nt.adapt.domain_batch import DomainBatch, PseudoLabels
from ke2nt.losses.objective import KE2NTLoss

__all__ = ["PseudoLabeller", "PseudoPart", "TextPart"]

_MEMORY = 0.99


class PseudoLabeller(nn.Module):
    """The class that a model takes each target image for.

    With a balance γ > 0 the class is argmax_k p_k / q_k^γ, q the running mean of p over the target:
    a class that the model answers too often has to be surer. Which labels are used is decided by p
    itself.

    Args:
        num_classes: K.
        threshold: Least p of the label, in [0, 1); 0 takes all.
        balance: γ, from 0 to 1.
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
        """Labels of (B, K) logits; in training mode the running mean takes these in first."""
        probabilities = logits.float().softmax(dim=1)
        if self.training:
            self.mean.mul_(_MEMORY).add_((1 - _MEMORY) * probabilities.mean(dim=0))
            self.weight.mul_(_MEMORY).add_(1 - _MEMORY)
        scores = probabilities
        if self.balance and self.weight > 0:
            frequent = (self.mean / self.weight).clamp(min=1e-6)
            scores = probabilities / frequent.pow(self.balance)
        labels = scores.argmax(dim=1)
        sure = probabilities.gather(1, labels[:, None]).squeeze(1) >= self.threshold
        return PseudoLabels(labels, sure.to(probabilities.dtype))


class PseudoPart(nn.Module):
    """Cross-entropy of the target's logits with its pseudo-labels, over those in use."""

    def forward(self, batch: DomainBatch, strength: float) -> Tensor:
        """Σ_i w_i CE_i / B, times `strength`."""
        losses = functional.cross_entropy(
            batch.target.logits, batch.pseudo.labels, reduction="none"
        )
        return strength * (batch.pseudo.weights * losses).mean()


class TextPart(nn.Module):
    """The KE2NT objective on the target, as the source has it, with pseudo-labels.

    Args:
        loss: The objective.
    """

    def __init__(self, loss: KE2NTLoss) -> None:
        super().__init__()
        self.loss = loss

    def forward(self, batch: DomainBatch, strength: float) -> Tensor:
        """The objective over the images whose label is in use, times their share and `strength`."""
        used = batch.pseudo.weights > 0
        if not used.any():
            return batch.target.logits.sum() * 0.0
        output = batch.target.map(lambda x: x[used])
        total, _ = self.loss(output, batch.pseudo.labels[used], batch.bank)
        return strength * used.float().mean() * total
