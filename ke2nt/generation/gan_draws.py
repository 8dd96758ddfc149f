"""The random numbers of one GAN step."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

__all__ = ["GanDraws", "sample_gan_draws"]


class GanDraws(NamedTuple):
    """Random numbers for a batch of B images.

    Attributes:
        flip: bool (B,), whether to mirror an image.
        edit_expressions: (B,) expressions that the faces are edited to.
        codes: (B, code_dim) latent codes of new identities, from the prior.
        new_expressions: (B,) expressions of these new identities.
        generator: CPU generator for further random numbers of the step.
    """

    flip: Tensor
    edit_expressions: Tensor
    codes: Tensor
    new_expressions: Tensor
    generator: torch.Generator

    def first(self, count: int) -> GanDraws:
        """Return the numbers of the first images."""
        return GanDraws(
            self.flip[:count],
            self.edit_expressions[:count],
            self.codes[:count],
            self.new_expressions[:count],
            self.generator,
        )


def sample_gan_draws(
    count: int,
    class_weights: Tensor,
    code_dim: int,
    generator: torch.Generator,
    device: torch.device,
) -> GanDraws:
    """Sample the random numbers for `count` images.

    Args:
        count: Number of images.
        class_weights: (K,) relative frequency of each requested expression, on the CPU.
        code_dim: Dimension of a latent code.
        generator: CPU generator.
        device: Device of the result.
    """
    # the order of these calls is part of the reproducibility of a run
    flip = torch.rand(count, generator=generator) < 0.5
    edit = torch.multinomial(class_weights, count, replacement=True, generator=generator)
    codes = torch.rand((count, code_dim), generator=generator) * 2.0 - 1.0
    new = torch.multinomial(class_weights, count, replacement=True, generator=generator)
    return GanDraws(flip.to(device), edit.to(device), codes.to(device), new.to(device), generator)
