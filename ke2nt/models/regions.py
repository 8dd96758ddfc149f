"""Local features: four overlapping corners of an encoder's last feature map."""

from __future__ import annotations

import torch
from torch import Tensor

from ke2nt.errors import ModelError

__all__ = ["corner_means", "corner_side", "feature_map"]

_CORNER, _MAP = 5, 7


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
    height, width = corner_side(features.shape[2]), corner_side(features.shape[3])

    # (B, C) each
    means = []
    for rows in (features[:, :, :height], features[:, :, -height:]):
        for corner in (rows[..., :width], rows[..., -width:]):
            means.append(corner.mean(dim=(2, 3)))
    return torch.cat(means, dim=1)


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
