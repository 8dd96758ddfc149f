"""Hinge loss with spectral normalization of the critic in place of a gradient penalty."""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor

from ke2nt.generation.losses.adversary import Adversary

__all__ = ["HingeAdversary"]


class HingeAdversary(Adversary):
    """Hinge loss with spectral normalization (https://arxiv.org/abs/1802.05957).

    Critic: E[max(0, 1 − D(real))] + E[max(0, 1 + D(fake))]. Generator: −E[D(fake)]. The weight is
    not used, as there is no penalty.
    """

    spectral_norm: ClassVar[bool] = True

    def critic(self, real: Tensor, fake: Tensor) -> Tensor:
        """Critic loss, given (B,) scores of real and of synthetic images."""
        return (1.0 - real).relu().mean() + (1.0 + fake).relu().mean()
