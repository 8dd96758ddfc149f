"""What can be said of answers without knowing the right ones, and of two sets of embeddings."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ke2nt.runtime.seeding import derive_seed

__all__ = ["AnswerMetrics", "compute_answer_metrics", "domain_distance", "expected_accuracy"]

_RIDGE = 1e-2
_MOST = 2000
_COLLAPSED = 0.9


@dataclass(frozen=True)
class AnswerMetrics:
    """A model's answers for N images whose labels are not known.

    Attributes:
        confidence: Mean probability of the answered class.
        information: Mutual information between image and answer, H(mean p) − mean H(p), in
            nats from 0 to ln K: high where answers are sure and of all classes.
        shares: Share of the answers of each class, K values.
        effective_classes: exp H(shares), from 1 to K.
    """

    confidence: float
    information: float
    shares: tuple[float, ...]
    effective_classes: float

    @property
    def largest_share(self) -> float:
        """Share of the most frequent answer."""
        return max(self.shares)

    @property
    def collapsed(self) -> bool:
        """Whether nearly all answers are one class."""
        return len(self.shares) > 1 and self.largest_share >= _COLLAPSED


def compute_answer_metrics(probabilities: np.ndarray) -> AnswerMetrics:
    """Label-free figures of (N, K) probabilities."""
    mean = probabilities.mean(axis=0)
    counts = np.bincount(probabilities.argmax(axis=1), minlength=probabilities.shape[1])
    shares = counts / len(probabilities)
    return AnswerMetrics(
        confidence=float(probabilities.max(axis=1).mean()),
        information=float(_entropy(mean) - _entropy(probabilities).mean()),
        shares=tuple(float(s) for s in shares),
        effective_classes=float(np.exp(_entropy(shares))),
    )


def domain_distance(source: np.ndarray, target: np.ndarray, *, seed: int = 0) -> float | None:
    """Proxy A-distance 2 (1 − 2ε) in [0, 2] (https://arxiv.org/abs/1505.07818, eq. 3).

    ε is the cross-validated error of a ridge classifier that tells the domains' embeddings apart,
    on as many of the one as of the other, at most 2,000.

    Args:
        source: (N, D).
        target: (M, D).
        seed: Of the choice of rows.

    Returns:
        None where a domain has fewer than 4 rows.
    """
    count = min(len(source), len(target), _MOST)
    if count < 4:
        return None
    rng = np.random.default_rng(derive_seed(seed, "domain distance"))
    rows = [x[rng.permutation(len(x))[:count]].astype(np.float64) for x in (source, target)]
    both = np.concatenate(rows)
    both = (both - both.mean(axis=0)) / (both.std(axis=0) + 1e-9)
    both = np.hstack([both, np.ones((2 * count, 1))])
    sign = np.repeat([1.0, -1.0], count)
    fold = np.tile(np.arange(count) % 2, 2)
    wrong = 0
    for held in (0, 1):
        x, y, rest = both[fold != held], sign[fold != held], both[fold == held]
        normal = x.T @ x + _RIDGE * len(x) * np.eye(x.shape[1])
        answers = np.sign(rest @ np.linalg.solve(normal, x.T @ y))
        wrong += int((answers != sign[fold == held]).sum())
    return float(np.clip(2 * (1 - 2 * wrong / (2 * count)), 0, 2))


def expected_accuracy(source: np.ndarray, labels: np.ndarray, target: np.ndarray) -> float:
    """Accuracy that average thresholded confidence expects (https://arxiv.org/abs/2201.04234).

    The threshold of the confidence above which as many source images lie as are answered rightly;
    the share of target images above it. It assumes that confidence means the same in both domains.

    Args:
        source: (N, K) probabilities of held-out source images.
        labels: (N,) their classes.
        target: (M, K) probabilities of target images.
    """
    wrong = float((source.argmax(axis=1) != labels).mean())
    threshold = np.quantile(source.max(axis=1), wrong)
    return float((target.max(axis=1) >= threshold).mean())


def _entropy(p: np.ndarray) -> np.ndarray:
    """Entropy along the last axis, nats."""
    entropy: np.ndarray = -(p * np.log(np.clip(p, 1e-12, None))).sum(axis=-1)
    return entropy
