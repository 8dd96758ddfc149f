"""Intra-class loss with real data-guided back-propagation."""

from __future__ import annotations

import torch
from torch import Tensor

from ke2nt.losses.precision import at_least_float32, squared_distances
from ke2nt.runtime.l2_normalize import l2_normalize_or_zero

__all__ = ["intra_class_loss"]


def intra_class_loss(
    real: Tensor,
    real_labels: Tensor,
    synthetic: Tensor,
    synthetic_labels: Tensor,
    *,
    rdbp: bool = True,
) -> Tensor:
    """Features of one class lie together, and synthetic ones where the real ones are.

    Mean ‖f_i − f_j‖² over pairs of real images of one class, plus the mean of ‖f_s − sg(f_r)‖²
    over pairs of a synthetic and a real image of one class (https://arxiv.org/abs/2002.02194). The
    stop-gradient sg is RDBP: real data guides, and only the synthetic side is moved. Features are
    scaled to unit norm. A part without a pair is 0 with zero gradient.

    Args:
        real: (B, D) features of real images.
        real_labels: (B,) class indices.
        synthetic: (S, D) features of synthetic images.
        synthetic_labels: (S,) class indices they were made for.
        rdbp: False lets the second part move the real features, too.
    """
    real = l2_normalize_or_zero(at_least_float32(real))
    synthetic = l2_normalize_or_zero(at_least_float32(synthetic))
    guide = real.detach() if rdbp else real
    same = real_labels[:, None] == real_labels[None, :]
    pairs = same.triu(diagonal=1)
    across = synthetic_labels[:, None] == real_labels[None, :]
    return _mean_distance(real, real, pairs) + _mean_distance(synthetic, guide, across)


def _mean_distance(a: Tensor, b: Tensor, chosen: Tensor) -> Tensor:
    """Mean of ‖a_i − b_j‖² over the chosen pairs; 0 if there is none."""
    square = squared_distances(a, b)
    count = chosen.sum().clamp(min=1)
    return torch.where(chosen, square, torch.zeros_like(square)).sum() / count
