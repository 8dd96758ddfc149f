"""Shares of the classes in unlabeled images, estimated from a model's predictions.

For domains whose faces look alike but whose classes are not equally frequent ("label shift"): the
posteriors of a class k are p_k q_k / s_k, normalized, where s is the share of each class on the
source and q that on the target.
"""

from __future__ import annotations

import numpy as np

from ke2nt.errors import DataError

__all__ = ["correct_posteriors", "estimate_shares_bbse", "estimate_shares_em"]

_TINY = 1e-12


def estimate_shares_em(
    posteriors: np.ndarray,
    source_shares: np.ndarray,
    *,
    tolerance: float = 1e-10,
    max_steps: int = 10_000,
) -> np.ndarray:
    """Estimate class shares by maximum likelihood, with expectation maximization.

    Saerens, Latinne and Decaestecker, "Adjusting the Outputs of a Classifier to New a Priori
    Probabilities" (Neural Computation 14:21, 2002). Each step corrects the posteriors by the
    shares so far, and takes their mean as the next shares; the likelihood has one maximum.

    Args:
        posteriors: (N, K) rows that sum to 1, calibrated on the source.
        source_shares: (K,) class shares of the source.
        tolerance: Largest change of a share that ends the iteration.
        max_steps: Most steps.

    Returns:
        (K,) float64, sum 1.

    Raises:
        DataError: Shapes or values do not fit.
    """
    posteriors, source_shares = _check(posteriors, source_shares)
    shares = source_shares
    for _ in range(max_steps):
        corrected = correct_posteriors(posteriors, source_shares, shares).mean(axis=0)
        change, shares = float(np.abs(corrected - shares).max()), corrected
        if change < tolerance:
            break
    return shares


def estimate_shares_bbse(
    source_posteriors: np.ndarray, source_labels: np.ndarray, target_posteriors: np.ndarray
) -> np.ndarray:
    """Estimate class shares from confusions of the source ("black box shift estimation").

    Lipton, Wang and Smola (https://arxiv.org/abs/1802.03916), with posteriors for decisions: the
    mean posterior of class k on the target is Σ_y C_ky q_y, where C_ky is that of the source's
    images of class y. q is the solution, negative values set to 0.

    Args:
        source_posteriors: (M, K) of labeled images that the model was not trained on.
        source_labels: (M,) class indices.
        target_posteriors: (N, K).

    Returns:
        (K,) float64, sum 1; 0 for a class without labeled images.

    Raises:
        DataError: Shapes or values do not fit, or there is no labeled image.
    """
    source, _ = _check(source_posteriors, None)
    target, _ = _check(target_posteriors, None)
    labels = np.asarray(source_labels, np.int64)
    if len(labels) != len(source) or source.shape[1] != target.shape[1]:
        raise DataError(
            "posteriors and labels do not fit together",
            expected=f"{len(source)} labels, {source.shape[1]} classes in both domains",
            found=f"{len(labels)} labels, {target.shape[1]} classes",
        )

    # (K, L) mean posteriors of the L classes that have labeled images
    occurring = np.unique(labels)
    confusion = np.stack([source[labels == y].mean(axis=0) for y in occurring], axis=1)
    solution, *_ = np.linalg.lstsq(confusion, target.mean(axis=0), rcond=None)

    shares = np.zeros(source.shape[1])
    shares[occurring] = np.clip(solution, 0.0, None)
    return shares / shares.sum()


def correct_posteriors(
    posteriors: np.ndarray, source_shares: np.ndarray, target_shares: np.ndarray
) -> np.ndarray:
    """Turn posteriors under the source's class shares into those under the target's.

    Args:
        posteriors: (N, K) rows that sum to 1.
        source_shares: (K,) s.
        target_shares: (K,) q.

    Returns:
        (N, K) rows p_k q_k / s_k, normalized.
    """
    weighted = posteriors * (target_shares / np.clip(source_shares, _TINY, None))
    return weighted / np.clip(weighted.sum(axis=1, keepdims=True), _TINY, None)


def _check(posteriors: np.ndarray, shares: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
    """Return posteriors and shares in float64, after checking them."""
    posteriors = np.asarray(posteriors, np.float64)
    if posteriors.ndim != 2 or not len(posteriors):
        raise DataError(
            "no posteriors to estimate class shares from",
            expected="(images, classes), at least one image",
            found=posteriors.shape,
        )

    classes = posteriors.shape[1]
    shares = np.full(classes, 1 / classes) if shares is None else np.asarray(shares, np.float64)
    for name, rows in (("posteriors", posteriors), ("class shares", shares[None])):
        if rows.shape[1] != classes or not np.allclose(rows.sum(axis=1), 1.0, atol=1e-4):
            raise DataError(
                f"the {name} are not valid",
                expected=f"{classes} values that sum to 1",
                found=rows[0].tolist(),
            )
    return posteriors, shares
