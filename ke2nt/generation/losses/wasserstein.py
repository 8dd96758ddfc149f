"""Wasserstein critic loss with gradient penalty."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from ke2nt.generation.losses.adversary import Adversary

__all__ = ["WassersteinAdversary"]


class WassersteinAdversary(Adversary):
    """WGAN-GP (https://arxiv.org/abs/1704.00028).

    Critic: E[D(fake)] − E[D(real)] + λ E[(‖∇D(x̂)‖ − 1)²], x̂ between real and fake. Generator:
    −E[D(fake)].

    Args:
        weight: λ.
    """

    def critic(self, real: Tensor, fake: Tensor) -> Tensor:
        """Critic loss, given (B,) scores of real and of synthetic images."""
        return fake.mean() - real.mean()

    def penalty(
        self,
        scores: Callable[[Tensor], Tensor],
        real: Tensor,
        fake: Tensor,
        generator: torch.Generator,
    ) -> Tensor:
        """Weighted gradient penalty, at random points between real and synthetic images."""
        # x̂: one random point on the line between each pair
        share = torch.rand((len(real), 1, 1, 1), generator=generator).to(real)
        between = torch.lerp(fake.detach(), real.detach(), share).requires_grad_()

        (gradient,) = torch.autograd.grad(scores(between).sum(), between, create_graph=True)
        return self.weight * (gradient.flatten(1).norm(dim=1) - 1.0).square().mean()
