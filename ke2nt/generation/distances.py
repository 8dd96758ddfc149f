"""Distances between two sets of feature vectors: FID and KID."""

from __future__ import annotations

import numpy as np

from ke2nt.errors import DataError

__all__ = ["frechet_distance", "kernel_distance"]


def frechet_distance(a: np.ndarray, b: np.ndarray) -> float:
    """‖μ_a − μ_b‖² + Tr(Σ_a + Σ_b − 2 (Σ_a Σ_b)^½), the Fréchet distance of two Gaussians.

    FID, in any feature space (https://arxiv.org/abs/1706.08500). Tr (Σ_a Σ_b)^½ is the sum of the
    singular values of A Bᵀ for centered, scaled data A and B, so no matrix square root is needed.

    Args:
        a: (N, D) features, N ≥ 2.
        b: (M, D) features, M ≥ 2.

    Raises:
        DataError: A set has fewer than two vectors.
    """
    a, b = _check_features(a, b)

    # centered and scaled so that Σ = AᵀA
    a_centered = (a - a.mean(axis=0)) / np.sqrt(len(a) - 1)
    b_centered = (b - b.mean(axis=0)) / np.sqrt(len(b) - 1)
    root_trace = np.linalg.svd(a_centered @ b_centered.T, compute_uv=False).sum()

    mean_distance = np.square(a.mean(axis=0) - b.mean(axis=0)).sum()
    a_trace, b_trace = np.square(a_centered).sum(), np.square(b_centered).sum()
    return float(mean_distance + a_trace + b_trace - 2.0 * root_trace)


def kernel_distance(a: np.ndarray, b: np.ndarray) -> float:
    """Squared maximum mean discrepancy under the kernel (x·y / D + 1)³, unbiased.

    KID (https://arxiv.org/abs/1801.01401). It can be slightly below 0 for similar sets.

    Args:
        a: (N, D) features, N ≥ 2.
        b: (M, D) features, M ≥ 2.

    Raises:
        DataError: A set has fewer than two vectors.
    """
    a, b = _check_features(a, b)
    within = _mean_off_diagonal(_kernel(a, a)) + _mean_off_diagonal(_kernel(b, b))
    return float(within - 2.0 * _kernel(a, b).mean())


def _kernel(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    kernel: np.ndarray = (a @ b.T / a.shape[1] + 1.0) ** 3
    return kernel


def _mean_off_diagonal(kernel: np.ndarray) -> float:
    """Mean over pairs of different vectors."""
    count = len(kernel)
    return float((kernel.sum() - np.trace(kernel)) / (count * (count - 1)))


def _check_features(a: np.ndarray, b: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    if min(len(a), len(b)) < 2:
        raise DataError(
            "too few images for a distance", expected="at least 2", found=(len(a), len(b))
        )
    return a.astype(np.float64), b.astype(np.float64)
