"""Attention on a feature map: channels, then positions (the form of CBAM)."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn

__all__ = ["AttentionBlock", "BlockKind", "ChannelAttention", "SpatialAttention"]

BlockKind = Literal["channel_spatial", "channel", "spatial", "none"]

# bias of an untrained gate: it passes σ(2) = 88 %, so that every head gets a signal
_OPEN = 2.0


class ChannelAttention(nn.Module):
    """Weights of the channels: σ(MLP(mean over positions) + MLP(maximum over positions)).

    Woo et al., "CBAM: Convolutional Block Attention Module" (ECCV 2018,
    https://arxiv.org/abs/1807.06521), equation 2; the MLP is C → C / r → C with a ReLU.

    Args:
        channels: C.
        reduction: r; at least one hidden unit is kept.
    """

    def __init__(self, channels: int, reduction: int = 16) -> None:
        super().__init__()
        hidden = max(1, channels // reduction)
        self.down = nn.Linear(channels, hidden)
        self.up = nn.Linear(hidden, channels)
        # the bias is added twice, for mean and maximum
        nn.init.constant_(self.up.bias, _OPEN / 2)

    def forward(self, maps: Tensor) -> Tensor:
        """(B, C, h, w) → (B, C) weights in [0, 1]."""
        # (2, B, C): both go through the same MLP
        pooled = torch.stack([maps.mean(dim=(2, 3)), maps.amax(dim=(2, 3))])
        return self.up(self.down(pooled).relu()).sum(dim=0).sigmoid()


class SpatialAttention(nn.Module):
    """Weights of the positions: σ(conv_k([mean over channels; maximum over channels])).

    CBAM, equation 3.

    Args:
        kernel: k, odd; 7 as published.
    """

    def __init__(self, kernel: int = 7) -> None:
        super().__init__()
        self.conv = nn.Conv2d(2, 1, kernel, padding=kernel // 2)
        assert self.conv.bias is not None
        nn.init.constant_(self.conv.bias, _OPEN)

    def forward(self, maps: Tensor) -> Tensor:
        """(B, C, h, w) → (B, h, w) weights in [0, 1]."""
        # (B, 2, h, w)
        pooled = torch.stack([maps.mean(dim=1), maps.amax(dim=1)], dim=1)
        return self.conv(pooled).squeeze(1).sigmoid()


class AttentionBlock(nn.Module):
    """Channel attention, then spatial attention, each multiplied in; either is optional.

    Args:
        channels: Channels of the map.
        kind: Which of the two.
        reduction: Of the channel attention.
        kernel: Of the spatial attention.
    """

    def __init__(
        self,
        channels: int,
        kind: BlockKind = "channel_spatial",
        *,
        reduction: int = 16,
        kernel: int = 7,
    ) -> None:
        super().__init__()
        self.channel = ChannelAttention(channels, reduction) if kind.startswith("channel") else None
        self.spatial = SpatialAttention(kernel) if kind.endswith("spatial") else None

    def forward(self, maps: Tensor) -> tuple[Tensor, Tensor | None]:
        """Apply both attentions.

        Args:
            maps: (B, C, h, w).

        Returns:
            The weighted map (B, C, h, w), and the spatial weights (B, h, w), None without spatial
            attention.
        """
        if self.channel is not None:
            maps = maps * self.channel(maps)[:, :, None, None]
        if self.spatial is None:
            return maps, None
        spatial_weights = self.spatial(maps)
        return maps * spatial_weights[:, None], spatial_weights
