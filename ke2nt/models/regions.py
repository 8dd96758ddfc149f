"""Local features: four overlapping corners of an encoder's last feature map."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ke2nt.errors import ModelError

__all__ = ["CornerBranches", "corner_means", "corner_side", "corners", "feature_map"]

_CORNER, _MAP = 5, 7
_CONVOLUTIONS, _BRANCH_WIDTH = 3, 512


class CornerBranches(nn.Module):
    """Learned features of the four corners, each from its own branch, as in DMSRL.

    A branch is three times convolution, batch normalization and ReLU, then a linear layer on the
    mean over positions. Kernels of 3 × 3 with padding, and the width of the convolutions, are not
    known of the published branches.

    Args:
        channels: C, channels of the feature map.
        width: Features of each branch; 512 as published. The convolutions have as many channels.
    """

    def __init__(self, channels: int, width: int = _BRANCH_WIDTH) -> None:
        super().__init__()
        self.branches = nn.ModuleList(_build_branch(channels, width) for _ in range(4))

    def forward(self, features: Tensor) -> Tensor:
        """(B, C, H, W) → (B, 4·width): top left, top right, bottom left, bottom right."""
        pieces = zip(self.branches, corners(features), strict=True)
        return torch.cat([branch(corner) for branch, corner in pieces], dim=1)


def _build_branch(channels: int, width: int) -> nn.Sequential:
    layers: list[nn.Module] = []
    for source in (channels, *[width] * (_CONVOLUTIONS - 1)):
        convolution = nn.Conv2d(source, width, kernel_size=3, padding=1, bias=False)
        layers += [convolution, nn.BatchNorm2d(width), nn.ReLU(inplace=True)]
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(width, width))


def corner_side(side: int) -> int:
    """Cells of a corner region along a side of the map: 5 of 7, in proportion for other sizes."""
    return max(1, round(side * _CORNER / _MAP))


def corner_means(features: Tensor) -> Tensor:
    """Average a feature map over four overlapping corners.

    Args:
        features: (B, C, H, W).

    Returns:
        (B, 4·C): top left, top right, bottom left, bottom right.
    """
    return torch.cat([corner.mean(dim=(2, 3)) for corner in corners(features)], dim=1)


def corners(features: Tensor) -> list[Tensor]:
    """Cut four overlapping corners out of a feature map.

    Args:
        features: (B, C, H, W).

    Returns:
        (B, C, h, w) each: top left, top right, bottom left, bottom right.
    """
    height, width = corner_side(features.shape[2]), corner_side(features.shape[3])
    return [
        corner
        for rows in (features[:, :, :height], features[:, :, -height:])
        for corner in (rows[..., :width], rows[..., -width:])
    ]


def feature_map(features: Tensor, *, channels_last: bool, prefix: int) -> Tensor:
    """Bring any encoder's unpooled features to the form (B, C, H, W).

    Args:
        features: (B, C, H, W), (B, H, W, C), or (B, prefix + H·H, C) tokens of a square grid.
        channels_last: Whether four dimensions are (B, H, W, C).
        prefix: Tokens before those of the grid.

    Raises:
        ModelError: The features are no such map.
    """
    if features.ndim == 4:
        return features.permute(0, 3, 1, 2) if channels_last else features

    # tokens of a ViT; class and register tokens stand for no position
    if features.ndim == 3:
        tokens = features[:, prefix:]
        side = round(tokens.shape[1] ** 0.5)
        if side * side == tokens.shape[1] > 0:
            return tokens.transpose(1, 2).unflatten(2, (side, side))

    raise ModelError(
        "the backbone has no feature map to take regions of",
        expected="(batch, channels, height, width), or the tokens of a square grid",
        found=tuple(features.shape),
    )
