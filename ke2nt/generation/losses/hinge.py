"""Hinge loss; the critic is kept smooth by spectral normalization instead of a penalty."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

__all__ = ["HingeAdversary"]


class HingeAdversary:
    """Hinge with spectral normalization (https://arxiv.org/abs/1802.05957).

    Critic: E[max(0, 1 − D(real))] + E[max(0, 1 + D(fake))]. Generator: −E[D(fake)].

    Args:
        weight: Not needed, as there is no penalty; the place is kept for the common signature.
    """

    spectral_norm = True

    def __init__(self, weight: float = 0.0) -> None:
        self.weight = weight

    def critic(self, real: Tensor, fake: Tensor) -> Tensor:
        """The critic's loss on (B,) scores of real and of synthetic images."""
        return (1.0 - real).relu().mean() + (1.0 + fake).relu().mean()

    def generator(self, fake: Tensor) -> Tensor:
        """The generator's loss on (B,) scores of synthetic images."""
        return -fake.mean()

    def penalty(
        self,
        scores: Callable[[Tensor], Tensor],
        real: Tensor,
        fake: Tensor,
        generator: torch.Generator,
    ) -> Tensor:
        """Zero."""
        return real.new_zeros(())
