"""Vectors scaled to unit norm: the one place for it, in the variants that numerics require.

- `l2_normalize` is torch's own function, for models and for reading embeddings.
- `l2_normalize_checked` refuses vectors without a direction, for embeddings that are stored.
- `l2_normalize_or_zero` has a bounded gradient everywhere, for losses.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from ke2nt.errors import Ke2ntError

__all__ = ["EPSILON", "l2_normalize", "l2_normalize_checked", "l2_normalize_or_zero"]

EPSILON = 1e-8  # as in torch.nn.functional.cosine_similarity


def l2_normalize(vectors: Tensor) -> Tensor:
    """Scale vectors along the last dimension to unit norm; a zero vector stays zero.

    Args:
        vectors: (..., D), floating.

    Returns:
        (..., D), in the same dtype.
    """
    return functional.normalize(vectors, dim=-1)


def l2_normalize_checked(vectors: Tensor, error: Ke2ntError) -> Tensor:
    """Scale vectors along the last dimension to unit norm, if each of them has a direction.

    The norms are divided by as they are, however small: a stored embedding is exact or refused.

    Args:
        vectors: (..., D), floating.
        error: Raised if a vector is zero or not finite.

    Returns:
        (..., D), in the same dtype.
    """
    norms = vectors.norm(dim=-1, keepdim=True)
    if not bool((norms.isfinite() & (norms > 0)).all()):
        raise error
    return vectors / norms


def l2_normalize_or_zero(vectors: Tensor) -> Tensor:
    """Scale vectors along the last dimension to unit norm, with a bounded gradient.

    A vector of norm at most `EPSILON` has no direction: it gives the zero vector with zero
    gradient, so that its cosine with anything is 0. (`l2_normalize` divides by a tiny number there
    and gives a gradient of up to 1e12.)

    Args:
        vectors: (..., D), floating.

    Returns:
        (..., D), norm 1 or 0.
    """
    directions: Tensor = _DirectionAndNorm.apply(vectors)[0]
    return directions


class _DirectionAndNorm(torch.autograd.Function):
    """Direction and norm, in a third of the operations that autograd makes of the formula.

    With u = v / ‖v‖ and gradients g of u and h of ‖v‖, that of v is (g − (g · u) u) / ‖v‖ + h u.
    """

    @staticmethod
    def forward(vectors: Tensor) -> tuple[Tensor, Tensor]:
        norms = torch.linalg.vector_norm(vectors, dim=-1, keepdim=True)
        norms = functional.threshold(norms, EPSILON, math.inf)
        return vectors / norms, norms

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: tuple[Tensor, Tensor]) -> None:
        ctx.save_for_backward(*output)
        ctx.set_materialize_grads(False)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor | None) -> Tensor | None:
        directions, norms = ctx.saved_tensors
        direction_grad, norm_grad = grads
        result = None

        if direction_grad is not None:
            along = (direction_grad * directions).sum(dim=-1, keepdim=True)
            result = torch.addcmul(direction_grad, directions, along, value=-1) / norms

        # the norm is an output for second derivatives alone
        if norm_grad is not None:
            radial = norm_grad * directions
            result = radial if result is None else result + radial
        return result
