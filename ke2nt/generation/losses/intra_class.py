"""Intra-class loss with real data-guided back-propagation (RDBP)."""

from __future__ import annotations

import torch
from torch import Tensor

from ke2nt.losses.numerics import at_least_float32, squared_distances
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
    """Pull features of one class together, and synthetic features to the real ones of their class.

    Mean ‖f_i − f_j‖² over pairs of real images of one class, plus the mean of ‖f_s − sg(f_r)‖²
    over pairs of a synthetic and a real image of one class (https://arxiv.org/abs/2002.02194). The
    stop-gradient sg is RDBP: only the synthetic features are moved. Features are scaled to unit
    norm. A term without pairs is 0 with zero gradient.

    Args:
        real: (B, D) features of real images.
        real_labels: (B,) class indices.
        synthetic: (S, D) features of synthetic images.
        synthetic_labels: (S,) class indices they were generated for.
        rdbp: False lets the second term move the real features as well.
    """
    real = l2_normalize_or_zero(at_least_float32(real))
    synthetic = l2_normalize_or_zero(at_least_float32(synthetic))

    # (B, B) pairs of real images, each once
    same_class = real_labels[:, None] == real_labels[None, :]
    real_term = _mean_distance(real, real, same_class.triu(diagonal=1))

    # (S, B) pairs of a synthetic and a real image
    across = synthetic_labels[:, None] == real_labels[None, :]
    anchor = real.detach() if rdbp else real
    return real_term + _mean_distance(synthetic, anchor, across)


def _mean_distance(a: Tensor, b: Tensor, pairs: Tensor) -> Tensor:
    """Mean of ‖a_i − b_j‖² over the selected pairs; 0 if there are none."""
    squares = squared_distances(a, b)
    count = pairs.sum().clamp(min=1)
    return torch.where(pairs, squares, torch.zeros_like(squares)).sum() / count
