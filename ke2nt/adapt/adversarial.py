"""Domains that cannot be told apart: a discriminator through gradient reversal, DANN and CDAN."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from ke2nt.adapt.domain_batch import DomainBatch

__all__ = ["AdversarialPart", "ConditionalPart", "DomainDiscriminator", "reverse_gradient"]


class _Reverse(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, strength: float) -> Tensor:
        ctx.strength = strength
        return x.view_as(x)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None]:
        return -ctx.strength * grads[0], None


def reverse_gradient(x: Tensor, strength: float = 1.0) -> Tensor:
    """x itself; its gradient is multiplied by −strength (https://arxiv.org/abs/1505.07818)."""
    reversed_: Tensor = _Reverse.apply(x, strength)
    return reversed_


class DomainDiscriminator(nn.Sequential):
    """Features → a logit, high for the source: D → hidden → hidden → 1, with dropout.

    Args:
        dim: D.
        hidden: Width of both hidden layers.
        dropout: Probability of dropping a hidden unit.
    """

    def __init__(self, dim: int, hidden: int = 512, dropout: float = 0.5) -> None:
        super().__init__(
            nn.Linear(dim, hidden),
            nn.ReLU(),
            nn.Dropout(dropout),
            nn.Linear(hidden, hidden),
            nn.ReLU(),
            nn.Dropout(dropout),
            nn.Linear(hidden, 1),
        )

    def loss(self, source: Tensor, target: Tensor, strength: float) -> Tensor:
        """Mean of the domains' binary cross-entropies; features get its reversed gradient.

        Args:
            source: (B_s, D).
            target: (B_t, D).
            strength: Factor of the reversed gradient; the discriminator learns without it.
        """
        own, other = (self(reverse_gradient(x, strength)) for x in (source, target))
        return 0.5 * (functional.softplus(-own).mean() + functional.softplus(other).mean())


class AdversarialPart(nn.Module):
    """DANN (https://arxiv.org/abs/1505.07818), and the mutual-information part of DMSRL.

    Args:
        dim: Width of the embeddings.
    """

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.discriminator = DomainDiscriminator(dim)

    def forward(self, batch: DomainBatch, strength: float) -> Tensor:
        """The discriminator's loss, reversed for the encoder with `strength`."""
        return self.discriminator.loss(batch.source.embeddings, batch.target.embeddings, strength)


class ConditionalPart(nn.Module):
    """CDAN (https://arxiv.org/abs/1705.10667): the discriminator sees embedding ⊗ probabilities.

    The outer product (K·D wide) is projected at random where it is wider than `width`:
    (R_f f) ⊙ (R_p p) / √width, with frozen standard normal R_f and R_p, as in equation 6 there.

    Args:
        num_classes: K.
        dim: D.
        width: Widest product that is formed.
        generator: Of the random projections.
    """

    project_features: Tensor | None
    project_classes: Tensor | None

    def __init__(
        self,
        num_classes: int,
        dim: int,
        width: int = 1024,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        wide = num_classes * dim
        self.discriminator = DomainDiscriminator(min(wide, width))
        drawn = [
            torch.randn(size, width, generator=generator) if wide > width else None
            for size in (dim, num_classes)
        ]
        self.register_buffer("project_features", drawn[0])
        self.register_buffer("project_classes", drawn[1])

    def forward(self, batch: DomainBatch, strength: float) -> Tensor:
        """The discriminator's loss, reversed for the encoder with `strength`."""
        source, target = (
            self.join(output.embeddings, output.logits.softmax(dim=1).detach())
            for output in (batch.source, batch.target)
        )
        return self.discriminator.loss(source, target, strength)

    def join(self, embeddings: Tensor, probabilities: Tensor) -> Tensor:
        """(B, D) and (B, K) → (B, K·D), or their random product (B, width)."""
        if self.project_features is None or self.project_classes is None:
            return (probabilities[:, :, None] * embeddings[:, None, :]).flatten(1)
        features = embeddings.to(self.project_features.dtype) @ self.project_features
        classes = probabilities.to(self.project_classes.dtype) @ self.project_classes
        return features * classes / features.shape[1] ** 0.5
