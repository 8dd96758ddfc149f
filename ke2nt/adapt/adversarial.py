"""Adversarial alignment: a domain discriminator behind a gradient reversal layer (DANN, CDAN)."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from ke2nt.adapt.domain_batch import DomainBatch
from ke2nt.adapt.part import AdaptationPart, PartContext
from ke2nt.config.adapt import AdaptSection
from ke2nt.models.output import KE2NTOutput
from ke2nt.runtime.seeding import torch_generator

__all__ = ["AdversarialPart", "ConditionalPart", "DomainDiscriminator", "reverse_gradient"]


class _GradientReversal(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, strength: float) -> Tensor:
        ctx.strength = strength
        return x.view_as(x)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None]:
        return -ctx.strength * grads[0], None


def reverse_gradient(x: Tensor, strength: float = 1.0) -> Tensor:
    """Return x; its gradient is multiplied by −strength (https://arxiv.org/abs/1505.07818)."""
    reversed_: Tensor = _GradientReversal.apply(x, strength)
    return reversed_


class DomainDiscriminator(nn.Sequential):
    """An MLP, D → hidden → hidden → 1 with dropout; its logit is high for the source domain.

    Args:
        dim: D, width of the features.
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
        """Compute the mean binary cross-entropy of both domains.

        Args:
            source: (B_s, D) features.
            target: (B_t, D) features.
            strength: Factor of the reversed gradient that reaches the features. The discriminator
                itself learns without it.
        """
        # (B_s, 1) and (B_t, 1)
        source_logits = self(reverse_gradient(source, strength))
        target_logits = self(reverse_gradient(target, strength))

        # cross-entropy with the labels 1 (source) and 0 (target)
        source_loss = functional.softplus(-source_logits).mean()
        target_loss = functional.softplus(target_logits).mean()
        return 0.5 * (source_loss + target_loss)


class AdversarialPart(AdaptationPart):
    """DANN (https://arxiv.org/abs/1505.07818), also the mutual-information part of DMSRL."""

    def __init__(self, config: AdaptSection, context: PartContext) -> None:
        super().__init__(config, context)
        self.discriminator = DomainDiscriminator(context.dim)

    def forward(self, batch: DomainBatch, strength: float) -> Tensor:
        """Compute the discriminator loss; its gradient is reversed and scaled by `strength`."""
        return self.discriminator.loss(batch.source.embeddings, batch.target.embeddings, strength)


class ConditionalPart(AdaptationPart):
    """CDAN (https://arxiv.org/abs/1705.10667): the discriminator sees embedding ⊗ probabilities.

    An outer product of more than `width` values is replaced by a random projection,
    (R_f f) ⊙ (R_p p) / √width with fixed standard normal R_f and R_p (equation 6 of the paper).

    Args:
        config: The section `adapt` of the configuration.
        context: Classes, embedding width and seed.
        width: Largest width of the discriminator input.
    """

    project_features: Tensor | None
    project_classes: Tensor | None

    def __init__(self, config: AdaptSection, context: PartContext, *, width: int = 1024) -> None:
        super().__init__(config, context)
        # K·D, the width of the outer product
        product_width = context.num_classes * context.dim
        self.discriminator = DomainDiscriminator(min(product_width, width))

        # R_f (D, width) and R_p (K, width), saved with checkpoints
        features, classes = None, None
        if product_width > width:
            generator = torch_generator(context.seed, "conditional")
            features = torch.randn(context.dim, width, generator=generator)
            classes = torch.randn(context.num_classes, width, generator=generator)
        self.register_buffer("project_features", features)
        self.register_buffer("project_classes", classes)

    def forward(self, batch: DomainBatch, strength: float) -> Tensor:
        """Compute the discriminator loss; its gradient is reversed and scaled by `strength`."""
        source, target = self._join_output(batch.source), self._join_output(batch.target)
        return self.discriminator.loss(source, target, strength)

    def join(self, embeddings: Tensor, probabilities: Tensor) -> Tensor:
        """Map (B, D) and (B, K) to (B, K·D), or to their random projection (B, width)."""
        # the outer product itself, (B, K, D)
        if self.project_features is None or self.project_classes is None:
            return (probabilities[:, :, None] * embeddings[:, None, :]).flatten(1)

        # both projections are (B, width)
        features = embeddings.to(self.project_features.dtype) @ self.project_features
        classes = probabilities.to(self.project_classes.dtype) @ self.project_classes
        return features * classes / features.shape[1] ** 0.5

    def _join_output(self, output: KE2NTOutput) -> Tensor:
        # the probabilities are a condition: no gradient flows through them
        return self.join(output.embeddings, output.logits.softmax(dim=1).detach())
