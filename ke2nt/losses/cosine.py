"""Unit vectors whose gradient is finite everywhere, and the precision that losses compute in."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn.functional import threshold

__all__ = ["EPSILON", "at_least_float32", "unit"]

EPSILON = 1e-8  # as in torch.nn.functional.cosine_similarity


def at_least_float32(tensor: Tensor) -> Tensor:
    """Half precision as float32; float32 and float64 as they are."""
    return tensor.float() if tensor.dtype in (torch.float16, torch.bfloat16) else tensor


def unit(vectors: Tensor) -> Tensor:
    """Scale vectors along the last dimension to unit norm.

    A vector of norm at most `EPSILON` has no direction: it gives the zero vector with zero
    gradient, so that its cosine with anything is 0 (dividing by `EPSILON` instead would give a
    gradient of 1e8).

    Args:
        vectors: (..., D), floating.

    Returns:
        (..., D), norm 1 or 0.
    """
    square = vectors.square().sum(dim=-1, keepdim=True)
    return vectors * threshold(square, EPSILON**2, math.inf).rsqrt()
