"""The margin-sensitive metric loss as a part of an adaptation."""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor

from ke2nt.adapt.domain_batch import DomainBatch
from ke2nt.adapt.margin_loss import MarginSensitiveLoss, build_text_centers
from ke2nt.adapt.part import AdaptationPart, PartContext
from ke2nt.config.adapt import AdaptSection
from ke2nt.errors import ConfigError
from ke2nt.runtime.seeding import torch_generator

__all__ = ["MetricPart"]


class MetricPart(AdaptationPart):
    """`MarginSensitiveLoss` on embeddings, with learned centers or centers from the text bank.

    Raises:
        ConfigError: Centers from text are configured for a linear head.
    """

    needs_single_labels: ClassVar[bool] = True  # a mixed image belongs to no single center

    def __init__(self, config: AdaptSection, context: PartContext) -> None:
        super().__init__(config, context)
        self.loss = MarginSensitiveLoss(
            context.num_classes,
            context.dim,
            config.margin,
            config.domain_weight,
            generator=torch_generator(context.seed, "centres"),
        )
        if config.centers == "learned":
            return

        if context.bank is None:
            raise ConfigError(
                "a linear head has no text bank to initialize the class centers",
                expected="adapt.centers=learned, or a model with a text head",
            )

        # "text" starts at the text bank and learns; "tied" stays there
        text_centers = build_text_centers(context.bank.embeddings, config.margin)
        for centers in (self.loss.source_centers, self.loss.target_centers):
            centers.data.copy_(text_centers)
            centers.requires_grad_(config.centers == "text")

    def forward(self, batch: DomainBatch, strength: float) -> Tensor:
        """Compute the loss, times `strength`."""
        value: Tensor = self.loss(
            batch.source.embeddings,
            batch.labels,
            batch.target.embeddings,
            batch.pseudo.labels,
            batch.pseudo.weights,
        )
        return strength * value
