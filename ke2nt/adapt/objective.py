"""The adaptation objective: a weighted sum of parts."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from ke2nt.adapt.domain_batch import DomainBatch
from ke2nt.adapt.methods import resolve_part_classes, resolve_part_weights
from ke2nt.adapt.part import PartContext
from ke2nt.adapt.pseudo_labels import PseudoLabeler
from ke2nt.config.adapt import AdaptSection
from ke2nt.errors import ConfigError, ModelError

__all__ = ["AdaptationLoss"]

# Parts with a discriminator, whose reversed gradient may have another ramp.
_ADVERSARIAL = ("adversarial", "conditional")


class AdaptationLoss(nn.Module):
    """Σ weight · part, and the pseudo-labels that the parts learn from.

    Args:
        config: Method, weights and options of the parts.
        context: Classes, embedding width, text bank.

    Raises:
        ConfigError: A weight is negative, a part needs a text bank that the model does not have,
            or a part of another package cannot be imported.
    """

    def __init__(self, config: AdaptSection, context: PartContext) -> None:
        super().__init__()
        self.weights = resolve_part_weights(config)
        if any(not 0 <= value < float("inf") for value in self.weights.values()):
            raise ConfigError(
                "weights of adaptation parts must be finite and not negative",
                found=dict(self.weights),
            )
        # `labeller` and `parts` are names in saved checkpoints
        self.labeller = PseudoLabeler(context.num_classes, config.threshold, config.balance)
        self.parts = nn.ModuleDict(
            {
                _module_key(name): part_class(config, context)
                for name, part_class in resolve_part_classes(config).items()
            }
        )

    def center_parameters(self) -> list[nn.Parameter]:
        """Return the class centers that are trained."""
        if "metric" not in self.parts:
            return []
        return [p for p in self.parts["metric"].parameters() if p.requires_grad]

    def other_parameters(self) -> dict[str, nn.Parameter]:
        """Return all other trained parameters by name."""
        centers = {id(p) for p in self.center_parameters()}
        return {
            name: p
            for name, p in self.named_parameters()
            if p.requires_grad and id(p) not in centers
        }

    def forward(
        self, batch: DomainBatch, strength: float, reversal: float | None = None
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Compute the weighted sum, and each part without its weight, detached.

        Args:
            batch: Both domains.
            strength: w(p), current value of the ramp.
            reversal: Strength of the discriminators' reversed gradient; None for `strength`.

        Raises:
            ModelError: A part does not return a scalar.
        """
        total: Any = torch.zeros((), device=batch.source.logits.device)
        values: dict[str, Tensor] = {}
        for name, weight in self.weights.items():
            part_strength = strength
            if reversal is not None and name in _ADVERSARIAL:
                part_strength = reversal
            value = self.parts[_module_key(name)](batch, part_strength)

            # a part of another package may get this wrong
            if not isinstance(value, Tensor) or value.ndim:
                raise ModelError(
                    f"the adaptation part {name!r} must return a scalar tensor",
                    found=tuple(value.shape) if isinstance(value, Tensor) else type(value).__name__,
                )
            total = total + weight * value
            values[name] = value.detach()
        return total, values


def _module_key(name: str) -> str:
    """Return a module name for a part: torch allows no dots there."""
    return name.replace(".", "/")
