"""What each method consists of. A new part is a module, a line here and a name in the config."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from ke2nt.adapt.adversarial import AdversarialPart, ConditionalPart
from ke2nt.adapt.domain_batch import DomainBatch
from ke2nt.adapt.margin_sensitive import MarginSensitiveLoss, MetricPart, centers_from_text
from ke2nt.adapt.moment_matching import CoralPart, MmdPart
from ke2nt.adapt.pseudo_labels import PseudoLabeller, PseudoPart, TextPart
from ke2nt.banks.text_bank import TextBank
from ke2nt.config.adapt import AdaptSection, Part
from ke2nt.errors import ConfigError
from ke2nt.losses.objective import KE2NTLoss
from ke2nt.runtime.seeding import torch_generator

__all__ = ["METHODS", "PARTS", "AdaptationLoss", "Space", "part_weights"]


class Space(NamedTuple):
    """What the parts are built for.

    Attributes:
        classes: K.
        dim: D, width of the embeddings.
        bank: Text bank of the target, None for a linear head.
        loss: The objective of the source.
        seed: Of what is drawn.
    """

    classes: int
    dim: int
    bank: TextBank | None
    loss: KE2NTLoss
    seed: int


# Part → its weight. DMSRL's are the published ones (IEEE TMM 25:1359, 2022).
METHODS: Mapping[str, Mapping[Part, float]] = {
    "source": {},
    "dann": {"adversarial": 1.0},
    "cdan": {"conditional": 1.0},
    "coral": {"coral": 1.0},
    "mmd": {"mmd": 1.0},
    "pseudo": {"pseudo": 1.0},
    "dmsrl": {"metric": 0.01, "adversarial": 0.01},
}
# The adversarial part of DMSRL has its full strength from the first step.
_CONSTANT = {"dmsrl": ("adversarial",)}


def _metric(config: AdaptSection, space: Space) -> nn.Module:
    loss = MarginSensitiveLoss(
        space.classes,
        space.dim,
        config.margin,
        config.domain_weight,
        generator=torch_generator(space.seed, "centres"),
    )
    if config.centers != "learned":
        if space.bank is None:
            raise ConfigError(
                "a linear head has no text bank for the class centers",
                expected="adapt.centers=learned, or a model with a text head",
            )
        placed = centers_from_text(space.bank.embeddings, config.margin)
        for centers in (loss.source_centers, loss.target_centers):
            centers.data.copy_(placed)
            centers.requires_grad_(config.centers == "text")
    return MetricPart(loss)


def _conditional(config: AdaptSection, space: Space) -> nn.Module:
    generator = torch_generator(space.seed, "conditional")
    return ConditionalPart(space.classes, space.dim, generator=generator)


def _text(config: AdaptSection, space: Space) -> nn.Module:
    if space.bank is None:
        raise ConfigError(
            "a linear head has no text to teach the target with",
            expected="a model with a text head",
            found="a weight of the part text",
        )
    return TextPart(space.loss)


PARTS: Mapping[Part, Callable[[AdaptSection, Space], nn.Module]] = {
    "metric": _metric,
    "adversarial": lambda config, space: AdversarialPart(space.dim),
    "conditional": _conditional,
    "coral": lambda config, space: CoralPart(),
    "mmd": lambda config, space: MmdPart(),
    "pseudo": lambda config, space: PseudoPart(),
    "text": _text,
}


def part_weights(config: AdaptSection) -> dict[Part, float]:
    """Weight of every part in use."""
    weights = {**METHODS[config.method], **config.weights}
    return {name: value for name, value in weights.items() if value}


class AdaptationLoss(nn.Module):
    """Σ weight · part, and the pseudo-labels that the parts learn from.

    Args:
        config: Method, weights and options of the parts.
        space: Classes, width, bank.

    Raises:
        ConfigError: A weight is negative, or a part needs text that the model does not have.
    """

    def __init__(self, config: AdaptSection, space: Space) -> None:
        super().__init__()
        self.weights = part_weights(config)
        if any(not 0 <= value < float("inf") for value in self.weights.values()):
            raise ConfigError("weights of parts must not be negative", found=dict(self.weights))
        self._constant = _CONSTANT.get(config.method, ())
        self.labeller = PseudoLabeller(space.classes, config.threshold, config.balance)
        self.parts = nn.ModuleDict({name: PARTS[name](config, space) for name in self.weights})

    def centers(self) -> list[nn.Parameter]:
        """The class centers that learn."""
        metric = self.parts["metric"] if "metric" in self.parts else nn.Module()
        return [p for p in metric.parameters() if p.requires_grad]

    def others(self) -> dict[str, nn.Parameter]:
        """All other parameters that learn, by their names."""
        centers = {id(p) for p in self.centers()}
        named = self.named_parameters()
        return {name: p for name, p in named if p.requires_grad and id(p) not in centers}

    def forward(self, batch: DomainBatch, strength: float) -> tuple[Tensor, dict[str, Tensor]]:
        """The weighted sum, and each part detached and without its weight.

        Args:
            batch: Both domains.
            strength: w(p), the ramp's value now.
        """
        total: Any = torch.zeros((), device=batch.source.logits.device)
        found: dict[str, Tensor] = {}
        for name, weight in self.weights.items():
            value = self.parts[name](batch, 1.0 if name in self._constant else strength)
            total = total + weight * value
            found[name] = value.detach()
        return total, found
