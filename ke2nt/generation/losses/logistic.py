"""Logistic loss with a penalty on the critic's gradient at real images (R1)."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional

from ke2nt.generation.losses.adversary import Adversary

__all__ = ["LogisticAdversary"]


class LogisticAdversary(Adversary):
    """Non-saturating logistic loss with R1 (https://arxiv.org/abs/1801.04406).

    Critic: E[log(1 + e^−D(real))] + E[log(1 + e^D(fake))] + γ/2 E[‖∇D(real)‖²]. Generator:
    E[log(1 + e^−D(fake))].

    Args:
        weight: γ.
    """

    def critic(self, real: Tensor, fake: Tensor) -> Tensor:
        """Critic loss, given (B,) scores of real and of synthetic images."""
        return functional.softplus(-real).mean() + functional.softplus(fake).mean()

    def generator(self, fake: Tensor) -> Tensor:
        """Generator loss, given (B,) scores of synthetic images."""
        return functional.softplus(-fake).mean()

    def penalty(
        self,
        scores: Callable[[Tensor], Tensor],
        real: Tensor,
        fake: Tensor,
        generator: torch.Generator,
    ) -> Tensor:
        """Weighted R1 penalty; uses the real images alone."""
        images = real.detach().requires_grad_()
        (gradient,) = torch.autograd.grad(scores(images).sum(), images, create_graph=True)
        return 0.5 * self.weight * gradient.flatten(1).square().sum(dim=1).mean()
