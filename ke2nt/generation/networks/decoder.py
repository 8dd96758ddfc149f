"""From an identity code and an expression to a face."""

from __future__ import annotations

from itertools import pairwise
from typing import Literal

import torch
from torch import Tensor, nn

from ke2nt.generation.networks.encoder import STAGES

__all__ = ["Conditioning", "ConditionalDecoder"]

Conditioning = Literal["concat", "film"]


class _Stage(nn.Module):
    """Twice the side; with FiLM, gain and bias of the normalized maps depend on the expression."""

    def __init__(self, before: int, after: int, classes: int, conditioning: Conditioning) -> None:
        super().__init__()
        film = conditioning == "film"
        self.grow = nn.ConvTranspose2d(before, after, 4, stride=2, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(after)
        self.film = nn.Linear(classes, 2 * after, bias=False) if film else None
        if self.film is not None:
            nn.init.normal_(self.film.weight, std=0.1)

    def forward(self, maps: Tensor, expressions: Tensor) -> Tensor:
        maps = self.norm(self.grow(maps))
        if self.film is not None:
            gain, bias = self.film(expressions)[:, :, None, None].chunk(2, dim=1)
            maps = maps * (1.0 + gain) + bias
        return maps.relu()


class ConditionalDecoder(nn.Module):
    """Four growing convolutions from [code ; expression].

    Args:
        channels: 1 (gray) or 3 (RGB).
        image_size: Side of the square images, a multiple of 16.
        width: As the encoder's; the first maps have 8 · width channels.
        code_dim: Values of a code.
        classes: K expressions.
        conditioning: "concat": the expression is given once, beside the code (as published).
            "film": also as gain and bias of every stage.
    """

    def __init__(
        self,
        channels: int,
        image_size: int,
        width: int,
        code_dim: int,
        classes: int,
        conditioning: Conditioning,
    ) -> None:
        super().__init__()
        self.side = image_size // 2**STAGES
        widths = [width * 2**stage for stage in reversed(range(STAGES))] + [max(4, width // 2)]
        self.start = nn.Linear(code_dim + classes, widths[0] * self.side**2)
        self.stages = nn.ModuleList(
            _Stage(before, after, classes, conditioning) for before, after in pairwise(widths)
        )
        self.image = nn.Conv2d(widths[-1], channels, 3, padding=1)

    def forward(self, codes: Tensor, expressions: Tensor) -> Tensor:
        """Faces of some identities with some expressions.

        Args:
            codes: (B, code_dim) in [−1, 1].
            expressions: (B, K) rows that sum to 1: one-hot, or a mix such as 0.3 happiness and
                0.7 neutral for a faint smile.

        Returns:
            (B, C, S, S) in (−1, 1).
        """
        maps = self.start(torch.cat([codes, expressions], dim=1))
        maps = maps.view(len(codes), -1, self.side, self.side)
        maps = maps.contiguous(memory_format=torch.channels_last)
        for stage in self.stages:
            maps = stage(maps, expressions)
        return self.image(maps).tanh()
