"""Moment matching: equal covariances (CORAL) and equal kernel means (MMD) of both domains."""

from __future__ import annotations

import torch
from torch import Tensor

from ke2nt.adapt.domain_batch import DomainBatch
from ke2nt.adapt.part import AdaptationPart
from ke2nt.losses.numerics import squared_distances

__all__ = ["CoralPart", "MmdPart", "coral", "mmd"]

_KERNEL_WIDTHS = (0.25, 0.5, 1.0, 2.0, 4.0)


def coral(source: Tensor, target: Tensor) -> Tensor:
    """‖C_s − C_t‖²_F / (4 D²) of unbiased covariances (https://arxiv.org/abs/1607.01719, eq. 1).

    Args:
        source: (B_s, D) features.
        target: (B_t, D) features.

    Returns:
        A scalar; 0 where a domain has a single row.
    """
    if min(len(source), len(target)) < 2:
        return (source.sum() + target.sum()) * 0.0

    # the reshape keeps D = 1 a matrix: torch.cov returns a scalar there
    dim = source.shape[1]
    source_cov = torch.cov(source.T).reshape(dim, -1)
    target_cov = torch.cov(target.T).reshape(dim, -1)
    return (source_cov - target_cov).square().sum() / (4 * dim**2)


def mmd(source: Tensor, target: Tensor) -> Tensor:
    """Squared maximum mean discrepancy, biased, under a mean of Gaussian kernels.

    The kernels are exp(−‖a − b‖² / (w σ²)) for w in 1/4 … 4, where σ² is the mean squared distance
    of all pairs without gradient (https://arxiv.org/abs/1502.02791).

    Args:
        source: (B_s, D) features.
        target: (B_t, D) features.

    Returns:
        A scalar ≥ 0.
    """
    # (B_s + B_t, B_s + B_t) kernel values of all pairs
    rows = torch.cat([source, target])
    squares = squared_distances(rows, rows)
    variance = squares.detach().mean().clamp(min=1e-12)
    kernel = torch.stack([torch.exp(-squares / (w * variance)) for w in _KERNEL_WIDTHS]).mean(dim=0)

    n = len(source)
    within_source, within_target = kernel[:n, :n].mean(), kernel[n:, n:].mean()
    return within_source + within_target - 2 * kernel[:n, n:].mean()


class CoralPart(AdaptationPart):
    """Deep CORAL on embeddings."""

    def forward(self, batch: DomainBatch, strength: float) -> Tensor:
        """Compute `coral` of the embeddings, times `strength`."""
        return strength * coral(batch.source.embeddings, batch.target.embeddings)


class MmdPart(AdaptationPart):
    """MMD on embeddings."""

    def forward(self, batch: DomainBatch, strength: float) -> Tensor:
        """Compute `mmd` of the embeddings, times `strength`."""
        return strength * mmd(batch.source.embeddings, batch.target.embeddings)
