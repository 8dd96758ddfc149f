"""The interface of an adversarial loss, and all of them by name."""

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
    """An adversarial loss of generator and image critic.

    A new one is one file, one line in `ADVERSARIES` and one name in `ke2nt/config/gan.py`.
    """

    spectral_norm: bool

    def critic(self, real: Tensor, fake: Tensor) -> Tensor:
        """Critic loss, given (B,) scores of real and of synthetic images."""

    def generator(self, fake: Tensor) -> Tensor:
        """Generator loss, given (B,) scores of synthetic images."""

    def penalty(
        self,
        scores: Callable[[Tensor], Tensor],
        real: Tensor,
        fake: Tensor,
        generator: torch.Generator,
    ) -> Tensor:
        """Weighted penalty on the gradient of the critic."""


ADVERSARIES: Mapping[str, Callable[[float], Adversary]] = {
    "wgan-gp": WassersteinAdversary,
    "hinge": HingeAdversary,
    "r1": LogisticAdversary,
}
