"""What every kind of game between generator and image critic offers, and all kinds by name."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Protocol

import torch
from torch import Tensor

from ke2nt.generation.losses.hinge import HingeAdversary
from ke2nt.generation.losses.logistic import LogisticAdversary
from ke2nt.generation.losses.wasserstein import WassersteinAdversary

__all__ = ["ADVERSARIES", "Adversary"]


class Adversary(Protocol):
    """A kind of game. A new one is one file, one line here and one in the configuration."""

    spectral_norm: bool

    def critic(self, real: Tensor, fake: Tensor) -> Tensor:
        """The critic's loss on (B,) scores of real and of synthetic images."""

    def generator(self, fake: Tensor) -> Tensor:
        """The generator's loss on (B,) scores of synthetic images."""

    def penalty(
        self,
        scores: Callable[[Tensor], Tensor],
        real: Tensor,
        fake: Tensor,
        generator: torch.Generator,
    ) -> Tensor:
        """What keeps the critic smooth, weighted."""


ADVERSARIES: Mapping[str, Callable[[float], Adversary]] = {
    "wgan-gp": WassersteinAdversary,
    "hinge": HingeAdversary,
    "r1": LogisticAdversary,
}
