"""The random numbers of one step of the game."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

__all__ = ["Draws", "draw"]


class Draws(NamedTuple):
    """One row an image.

    Attributes:
        flip: bool (B,), mirrored or not.
        edits: (B,) expressions that the faces are edited to.
        codes: (B, code_dim) identity codes from the prior.
        expressions: (B,) expressions of these new identities.
        generator: Goes on drawing where more is needed.
    """

    flip: Tensor
    edits: Tensor
    codes: Tensor
    expressions: Tensor
    generator: torch.Generator

    def first(self, count: int) -> Draws:
        """Those of the first images."""
        return Draws(
            self.flip[:count],
            self.edits[:count],
            self.codes[:count],
            self.expressions[:count],
            self.generator,
        )


def draw(
    count: int,
    weights: Tensor,
    code_dim: int,
    generator: torch.Generator,
    device: torch.device,
) -> Draws:
    """Draw for `count` images.

    Args:
        weights: (K,) how often each expression is asked for, on the CPU.
        code_dim: Values of a code.
        generator: CPU generator.
        device: Where the draws go.
    """
    flip = torch.rand(count, generator=generator) < 0.5
    edits = torch.multinomial(weights, count, replacement=True, generator=generator)
    codes = torch.rand((count, code_dim), generator=generator) * 2.0 - 1.0
    expressions = torch.multinomial(weights, count, replacement=True, generator=generator)
    return Draws(
        flip.to(device), edits.to(device), codes.to(device), expressions.to(device), generator
    )
