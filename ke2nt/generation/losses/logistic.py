"""Logistic loss with a penalty on the critic's gradient at real images (R1)."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional

__all__ = ["LogisticAdversary"]


class LogisticAdversary:
    """Non-saturating logistic loss with R1 (https://arxiv.org/abs/1801.04406).

    Critic: E[log(1 + e^−D(real))] + E[log(1 + e^D(fake))] + γ/2 E[‖∇D(real)‖²]. Generator:
    E[log(1 + e^−D(fake))].

    Args:
        weight: γ.
    """

    spectral_norm = False

    def __init__(self, weight: float = 10.0) -> None:
        self.weight = weight

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
        """Weighted R1 penalty.

        Args:
            scores: (B, C, S, S) images → (B,) scores.
            real: (B, C, S, S).
            fake: Unused, like `generator`; part of the common signature.
            generator: Unused.
        """
        images = real.detach().requires_grad_()
        (gradient,) = torch.autograd.grad(scores(images).sum(), images, create_graph=True)
        return 0.5 * self.weight * gradient.flatten(1).square().sum(dim=1).mean()
