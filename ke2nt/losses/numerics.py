"""Numerics of losses: the dtype to compute in, and distances that keep their digits."""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["at_least_float32", "squared_distances"]


def at_least_float32(tensor: Tensor) -> Tensor:
    """Convert half precision to float32; float32 and float64 stay."""
    return tensor.float() if tensor.dtype in (torch.float16, torch.bfloat16) else tensor


def squared_distances(a: Tensor, b: Tensor) -> Tensor:
    """Squared distances between all rows of two matrices, without a tensor of N · M · D values.

    Args:
        a: (N, D).
        b: (M, D).

    Returns:
        (N, M), ‖a_i − b_j‖² ≥ 0.
    """
    # distances far from the origin would lose their digits
    center = a.detach().mean(dim=0)
    a, b = a - center, b - center

    squares = a.square().sum(dim=1)[:, None] + b.square().sum(dim=1)[None, :] - 2.0 * a @ b.T
    return squares.clamp(min=0.0)
