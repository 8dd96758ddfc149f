"""Domains whose embeddings have the same distribution: covariances (CORAL), kernel means (MMD)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ke2nt.adapt.domain_batch import DomainBatch
from ke2nt.losses.precision import squared_distances

__all__ = ["CoralPart", "MmdPart", "coral", "mmd"]

_WIDTHS = (0.25, 0.5, 1.0, 2.0, 4.0)


def coral(source: Tensor, target: Tensor) -> Tensor:
    """‖C_s − C_t‖²_F / (4 D²) of unbiased covariances (https://arxiv.org/abs/1607.01719, eq. 1).

    Args:
        source: (B_s, D).
        target: (B_t, D).

    Returns:
        Scalar; 0 where a domain has a single row.
    """
    if min(len(source), len(target)) < 2:
        return (source.sum() + target.sum()) * 0.0
    covariances = [torch.cov(rows.T).reshape(rows.shape[1], -1) for rows in (source, target)]
    return (covariances[0] - covariances[1]).square().sum() / (4 * source.shape[1] ** 2)


def mmd(source: Tensor, target: Tensor) -> Tensor:
    """Squared maximum mean discrepancy, biased, under a mean of Gaussian kernels.

    Kernels exp(−‖a − b‖² / (w σ²)) for w in 1/4 … 4, σ² the mean squared distance of all pairs,
    held fixed (https://arxiv.org/abs/1502.02791).

    Args:
        source: (B_s, D).
        target: (B_t, D).
    """
    rows = torch.cat([source, target])
    squares = squared_distances(rows, rows)
    width = squares.detach().mean().clamp(min=1e-12)
    kernel = torch.stack([torch.exp(-squares / (w * width)) for w in _WIDTHS]).mean(dim=0)
    own, n = kernel[: len(source), : len(source)], len(source)
    return own.mean() + kernel[n:, n:].mean() - 2 * kernel[:n, n:].mean()


class CoralPart(nn.Module):
    """Deep CORAL on embeddings."""

    def forward(self, batch: DomainBatch, strength: float) -> Tensor:
        """The scalar, times `strength`."""
        return strength * coral(batch.source.embeddings, batch.target.embeddings)


class MmdPart(nn.Module):
    """MMD on embeddings."""

    def forward(self, batch: DomainBatch, strength: float) -> Tensor:
        """The scalar, times `strength`."""
        return strength * mmd(batch.source.embeddings, batch.target.embeddings)
