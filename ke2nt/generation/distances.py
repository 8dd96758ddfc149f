"""Distances of two sets of feature vectors: FID and KID."""

from __future__ import annotations

import numpy as np

from ke2nt.errors import DataError

__all__ = ["frechet_distance", "kernel_distance"]


def frechet_distance(a: np.ndarray, b: np.ndarray) -> float:
    """‖μ_a − μ_b‖² + Tr(Σ_a + Σ_b − 2 (Σ_a Σ_b)^½), the Fréchet distance of two Gaussians.

    FID, in any feature space (https://arxiv.org/abs/1706.08500). Tr (Σ_a Σ_b)^½ is the sum of the
    singular values of A Bᵀ for centered, scaled data A and B, so that no matrix root is needed.

    Args:
        a: (N, D) features, N ≥ 2.
        b: (M, D) features, M ≥ 2.

    Raises:
        DataError: A set has fewer than two vectors.
    """
    a, b = _checked(a, b)
    left, right = a - a.mean(axis=0), b - b.mean(axis=0)
    left, right = left / np.sqrt(len(a) - 1), right / np.sqrt(len(b) - 1)
    root = np.linalg.svd(left @ right.T, compute_uv=False).sum()
    apart = np.square(a.mean(axis=0) - b.mean(axis=0)).sum()
    return float(apart + np.square(left).sum() + np.square(right).sum() - 2.0 * root)


def kernel_distance(a: np.ndarray, b: np.ndarray) -> float:
    """Squared maximum mean discrepancy under the kernel (x·y / D + 1)³, unbiased.

    KID (https://arxiv.org/abs/1801.01401). It may be slightly below 0 for sets that are alike.

    Args:
        a: (N, D) features, N ≥ 2.
        b: (M, D) features, M ≥ 2.

    Raises:
        DataError: A set has fewer than two vectors.
    """
    a, b = _checked(a, b)
    within = sum(
        (kernel.sum() - np.trace(kernel)) / (len(x) * (len(x) - 1))
        for x in (a, b)
        for kernel in (_kernel(x, x),)
    )
    return float(within - 2.0 * _kernel(a, b).mean())


def _kernel(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    kernel: np.ndarray = (a @ b.T / a.shape[1] + 1.0) ** 3
    return kernel


def _checked(a: np.ndarray, b: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    if min(len(a), len(b)) < 2:
        raise DataError("too few images for a distance", expected="2", found=(len(a), len(b)))
    return a.astype(np.float64), b.astype(np.float64)
