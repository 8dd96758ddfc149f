"""Hinge loss with spectral normalization of the critic in place of a gradient penalty."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

__all__ = ["HingeAdversary"]


class HingeAdversary:
    """Hinge loss with spectral normalization (https://arxiv.org/abs/1802.05957).

    Critic: E[max(0, 1 − D(real))] + E[max(0, 1 + D(fake))]. Generator: −E[D(fake)].

    Args:
        weight: Unused, as there is no penalty; part of the common signature.
    """

    spectral_norm = True

    def __init__(self, weight: float = 0.0) -> None:
        self.weight = weight

    def critic(self, real: Tensor, fake: Tensor) -> Tensor:
        """Critic loss, given (B,) scores of real and of synthetic images."""
        return (1.0 - real).relu().mean() + (1.0 + fake).relu().mean()

    def generator(self, fake: Tensor) -> Tensor:
        """Generator loss, given (B,) scores of synthetic images."""
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
