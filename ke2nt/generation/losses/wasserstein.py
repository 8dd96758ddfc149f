"""Wasserstein critic loss with gradient penalty."""

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
        """Critic loss, given (B,) scores of real and of synthetic images."""
        return fake.mean() - real.mean()

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
        """Weighted gradient penalty.

        Args:
            scores: (B, C, S, S) images → (B,) scores.
            real: (B, C, S, S).
            fake: As many synthetic images.
            generator: CPU generator of the interpolation weights.
        """
        # x̂: one random point on the line between each pair
        share = torch.rand((len(real), 1, 1, 1), generator=generator).to(real)
        between = torch.lerp(fake.detach(), real.detach(), share).requires_grad_()

        (gradient,) = torch.autograd.grad(scores(between).sum(), between, create_graph=True)
        return self.weight * (gradient.flatten(1).norm(dim=1) - 1.0).square().mean()
