"""The interface of an adversarial loss."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import ClassVar

import torch
from torch import Tensor

__all__ = ["Adversary"]


class Adversary(ABC):
    """An adversarial loss of generator and image critic.

    A new one is one file, one line in `ADVERSARIES` (`adversaries.py`) and one name in
    `ke2nt/config/gan.py`.

    Args:
        weight: Weight of the penalty on the critic's gradient.

    Attributes:
        spectral_norm: Whether the critic is normalized, in place of a penalty.
    """

    spectral_norm: ClassVar[bool] = False

    def __init__(self, weight: float = 10.0) -> None:
        self.weight = weight

    @abstractmethod
    def critic(self, real: Tensor, fake: Tensor) -> Tensor:
        """Critic loss, given (B,) scores of real and of synthetic images."""

    def generator(self, fake: Tensor) -> Tensor:
        """Generator loss, given (B,) scores of synthetic images; their negative mean."""
        return -fake.mean()

    def penalty(
        self,
        scores: Callable[[Tensor], Tensor],
        real: Tensor,
        fake: Tensor,
        generator: torch.Generator,
    ) -> Tensor:
        """Weighted penalty on the gradient of the critic; none.

        Args:
            scores: (B, C, S, S) images → (B,) scores.
            real: (B, C, S, S).
            fake: As many synthetic images.
            generator: CPU generator of random numbers.
        """
        return real.new_zeros(())
