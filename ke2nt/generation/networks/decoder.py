"""The decoder: from a latent code and an expression to a face."""

from __future__ import annotations

from itertools import pairwise
from typing import Literal

import torch
from torch import Tensor, nn

from ke2nt.generation.networks.encoder import STAGES

__all__ = ["ConditionalDecoder", "Conditioning"]

Conditioning = Literal["concat", "film"]


class _UpsamplingStage(nn.Module):
    """Doubles the side; with FiLM, the expression sets scale and shift of the normalized maps."""

    def __init__(
        self, in_channels: int, out_channels: int, classes: int, conditioning: Conditioning
    ) -> None:
        super().__init__()
        self.grow = nn.ConvTranspose2d(
            in_channels, out_channels, 4, stride=2, padding=1, bias=False
        )
        self.norm = nn.BatchNorm2d(out_channels)
        self.film = None
        if conditioning == "film":
            self.film = nn.Linear(classes, 2 * out_channels, bias=False)
            nn.init.normal_(self.film.weight, std=0.1)

    def forward(self, maps: Tensor, expressions: Tensor) -> Tensor:
        # normalization without affine conditioning, then FiLM on top
        maps = self.norm(self.grow(maps))
        if self.film is not None:
            # (B, out_channels, 1, 1) each
            scale, shift = self.film(expressions)[:, :, None, None].chunk(2, dim=1)
            maps = maps * (1.0 + scale) + shift
        return maps.relu()


class ConditionalDecoder(nn.Module):
    """A linear layer on [code ; expression], then four transposed convolutions.

    Args:
        channels: 1 (gray) or 3 (RGB).
        image_size: Side of the square images, a multiple of 16.
        width: As in the encoder; the first maps have 8 · width channels.
        code_dim: Dimension of a latent code.
        classes: K expressions.
        conditioning: "concat" feeds the expression in once, beside the code (as published).
            "film" also uses it as scale and shift of every stage.
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
        # widths from the smallest maps to the image
        widths = [width * 2**stage for stage in reversed(range(STAGES))] + [max(4, width // 2)]
        self.side = image_size // 2**STAGES

        self.start = nn.Linear(code_dim + classes, widths[0] * self.side**2)
        self.stages = nn.ModuleList(
            _UpsamplingStage(in_channels, out_channels, classes, conditioning)
            for in_channels, out_channels in pairwise(widths)
        )
        self.image = nn.Conv2d(widths[-1], channels, 3, padding=1)

    def forward(self, codes: Tensor, expressions: Tensor) -> Tensor:
        """Generate faces of given identities with given expressions.

        Args:
            codes: (B, code_dim) in [−1, 1].
            expressions: (B, K) rows that sum to 1: one-hot, or a mixture such as 0.3 happiness and
                0.7 neutral for a faint smile.

        Returns:
            (B, C, S, S) in (−1, 1).
        """
        # (B, 8 · width, S / 16, S / 16)
        maps = self.start(torch.cat([codes, expressions], dim=1))
        maps = maps.view(len(codes), -1, self.side, self.side)
        maps = maps.contiguous(memory_format=torch.channels_last)

        for stage in self.stages:
            maps = stage(maps, expressions)
        return self.image(maps).tanh()
