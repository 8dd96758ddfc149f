"""Wasserstein critic with gradient penalty."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

__all__ = ["WassersteinAdversary"]


class WassersteinAdversary:
    """WGAN-GP (https://arxiv.org/abs/1704.00028).

    Critic: E[D(fake)] − E[D(real)] + λ E[(‖∇D(x̂)‖ − 1)²], x̂ between real and fake. Generator:
    −E[D(fake)].

    Args:
        weight: λ.
    """

    spectral_norm = False

    def __init__(self, weight: float = 10.0) -> None:
        self.weight = weight

    def critic(self, real: Tensor, fake: Tensor) -> Tensor:
        """The critic's loss on (B,) scores of real and of synthetic images."""
        return fake.mean() - real.mean()

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
        """The penalty, weighted.

        Args:
            scores: (B, C, S, S) images → (B,) scores.
            real: (B, C, S, S).
            fake: As many synthetic images.
            generator: CPU generator of the places between them.
        """
        share = torch.rand((len(real), 1, 1, 1), generator=generator).to(real)
        between = torch.lerp(fake.detach(), real.detach(), share).requires_grad_()
        (slope,) = torch.autograd.grad(scores(between).sum(), between, create_graph=True)
        return self.weight * (slope.flatten(1).norm(dim=1) - 1.0).square().mean()
