"""Metrics of predictions without labels, and of two sets of embeddings."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ke2nt.runtime.seeding import derive_seed

__all__ = [
    "LabelFreeMetrics",
    "compute_domain_distance",
    "compute_label_free_metrics",
    "estimate_accuracy",
]

_RIDGE = 1e-2
_MAX_ROWS = 2000
_MIN_ROWS = 4
_COLLAPSE_SHARE = 0.9


@dataclass(frozen=True)
class LabelFreeMetrics:
    """Metrics of a model's predictions for N unlabeled images.

    Attributes:
        confidence: Mean probability of the predicted class.
        information: Mutual information between image and predicted class, H(mean p) − mean H(p),
            in nats from 0 to ln K: high where predictions are confident and of all classes.
        shares: Share of the predictions of each class, K values.
        effective_classes: exp H(shares), from 1 to K.
    """

    confidence: float
    information: float
    shares: tuple[float, ...]
    effective_classes: float

    @property
    def largest_share(self) -> float:
        """Share of the most frequent prediction."""
        return max(self.shares)

    @property
    def collapsed(self) -> bool:
        """Whether nearly all predictions are one class."""
        return len(self.shares) > 1 and self.largest_share >= _COLLAPSE_SHARE


def compute_label_free_metrics(probabilities: np.ndarray) -> LabelFreeMetrics:
    """Compute label-free metrics of (N, K) probabilities."""
    # (K,) share of each class among the predictions
    counts = np.bincount(probabilities.argmax(axis=1), minlength=probabilities.shape[1])
    shares = counts / len(probabilities)

    # information = H(mean p) − mean H(p)
    marginal_entropy = _entropy(probabilities.mean(axis=0))
    conditional_entropy = _entropy(probabilities).mean()
    return LabelFreeMetrics(
        confidence=float(probabilities.max(axis=1).mean()),
        information=float(marginal_entropy - conditional_entropy),
        shares=tuple(float(s) for s in shares),
        effective_classes=float(np.exp(_entropy(shares))),
    )


def compute_domain_distance(
    source: np.ndarray, target: np.ndarray, *, seed: int = 0
) -> float | None:
    """Compute the proxy A-distance 2 (1 − 2ε) in [0, 2] (https://arxiv.org/abs/1505.07818, eq. 3).

    ε is the cross-validated error of a ridge classifier that separates the embeddings of the two
    domains, on equally many of each, at most 2,000.

    Args:
        source: (N, D) embeddings.
        target: (M, D) embeddings.
        seed: Seed of the choice of rows.

    Returns:
        None where a domain has fewer than 4 rows.
    """
    count = min(len(source), len(target), _MAX_ROWS)
    if count < _MIN_ROWS:
        return None

    # equally many rows of each domain, so that chance is 1/2
    rng = np.random.default_rng(derive_seed(seed, "domain distance"))
    source_rows = source[rng.permutation(len(source))[:count]].astype(np.float64)
    target_rows = target[rng.permutation(len(target))[:count]].astype(np.float64)

    # (2 count, D + 1) standardized features with a constant column for the bias
    features = np.concatenate([source_rows, target_rows])
    features = (features - features.mean(axis=0)) / (features.std(axis=0) + 1e-9)
    features = np.hstack([features, np.ones((2 * count, 1))])

    # two folds, each with both domains
    domain = np.repeat([1.0, -1.0], count)
    fold = np.tile(np.arange(count) % 2, 2)
    errors = sum(_count_errors(features, domain, held_out=fold == k) for k in (0, 1))
    return float(np.clip(2 * (1 - 2 * errors / (2 * count)), 0, 2))


def estimate_accuracy(source: np.ndarray, labels: np.ndarray, target: np.ndarray) -> float:
    """Estimate accuracy by average thresholded confidence (https://arxiv.org/abs/2201.04234).

    The threshold is the confidence that as many source images exceed as are classified correctly;
    the estimate is the share of target images that exceed it. This assumes that confidence means
    the same in both domains.

    Args:
        source: (N, K) probabilities of held-out source images.
        labels: (N,) their classes.
        target: (M, K) probabilities of target images.
    """
    # the share of source images below the threshold is the share of errors
    error = float((source.argmax(axis=1) != labels).mean())
    threshold = np.quantile(source.max(axis=1), error)
    return float((target.max(axis=1) >= threshold).mean())


def _count_errors(features: np.ndarray, domain: np.ndarray, *, held_out: np.ndarray) -> int:
    """Fit a ridge classifier on one fold and count its errors on the other."""
    # closed-form ridge regression on ±1
    x, y = features[~held_out], domain[~held_out]
    normal = x.T @ x + _RIDGE * len(x) * np.eye(x.shape[1])
    weights = np.linalg.solve(normal, x.T @ y)

    predictions = np.sign(features[held_out] @ weights)
    return int((predictions != domain[held_out]).sum())


def _entropy(p: np.ndarray) -> np.ndarray:
    """Entropy along the last axis, nats."""
    entropy: np.ndarray = -(p * np.log(np.clip(p, 1e-12, None))).sum(axis=-1)
    return entropy
