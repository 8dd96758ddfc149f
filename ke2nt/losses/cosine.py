"""Unit vectors whose gradient is finite everywhere, and the precision that losses compute in."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import threshold

__all__ = ["EPSILON", "at_least_float32", "squared_distances", "unit"]

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
    directions: Tensor = _Unit.apply(vectors)[0]
    return directions


class _Unit(torch.autograd.Function):
    """Direction and norm; in a third of the operations that autograd makes of the formula.

    With u = v / ‖v‖ and gradients g of u and h of ‖v‖, that of v is (g − (g · u) u) / ‖v‖ + h u.
    """

    @staticmethod
    def forward(vectors: Tensor) -> tuple[Tensor, Tensor]:
        norms = torch.linalg.vector_norm(vectors, dim=-1, keepdim=True)
        norms = threshold(norms, EPSILON, math.inf)
        return vectors / norms, norms

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: tuple[Tensor, Tensor]) -> None:
        ctx.save_for_backward(*output)
        ctx.set_materialize_grads(False)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor | None) -> Tensor | None:
        directions, norms = ctx.saved_tensors
        of_directions, of_norms = grads
        result = None
        if of_directions is not None:
            along = (of_directions * directions).sum(dim=-1, keepdim=True)
            result = torch.addcmul(of_directions, directions, along, value=-1) / norms
        if of_norms is not None:  # in a second derivative alone
            result = of_norms * directions if result is None else result + of_norms * directions
        return result


def squared_distances(a: Tensor, b: Tensor) -> Tensor:
    """‖a_i − b_j‖² of (N, D) and (M, D): (N, M), without a tensor of N · M · D values."""
    center = a.detach().mean(dim=0)  # distances far from the origin would lose their digits
    a, b = a - center, b - center
    squares = a.square().sum(dim=1)[:, None] + b.square().sum(dim=1)[None, :] - 2.0 * a @ b.T
    return squares.clamp(min=0.0)
