"""Calibration metrics: reliability bins, ECE, Brier score and log-loss."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

__all__ = [
    "CalibrationBin",
    "brier_score",
    "expected_calibration_error",
    "negative_log_likelihood",
    "reliability_bins",
]


@dataclass(frozen=True, slots=True)
class CalibrationBin:
    """Samples whose confidence lies in (low, high].

    Attributes:
        low: Lower edge, in [0, 1); the first bin also holds confidence 0.
        high: Upper edge.
        count: Number of samples in the bin.
        confidence: Mean confidence of these samples, or None for an empty bin.
        accuracy: Share of these samples that are classified correctly, or None for an empty bin.
    """

    low: float
    high: float
    count: int
    confidence: float | None
    accuracy: float | None


def reliability_bins(
    probabilities: np.ndarray, labels: np.ndarray, *, bins: int = 15
) -> tuple[CalibrationBin, ...]:
    """Group samples into equal-width bins of confidence, the highest class probability.

    Args:
        probabilities: (N, K), rows sum to 1.
        labels: (N,) class indices.
        bins: Number of bins over [0, 1].
    """
    confidence = probabilities.max(axis=1)
    correct = probabilities.argmax(axis=1) == labels

    # Bins are open on the left: a confidence on an edge belongs to the bin below it.
    bin_index = np.clip(np.ceil(confidence * bins).astype(np.int64) - 1, 0, bins - 1)
    counts = np.bincount(bin_index, minlength=bins)
    confidence_sums = np.bincount(bin_index, weights=confidence, minlength=bins)
    correct_counts = np.bincount(bin_index, weights=correct, minlength=bins)

    return tuple(
        CalibrationBin(
            low=b / bins,
            high=(b + 1) / bins,
            count=int(counts[b]),
            confidence=float(confidence_sums[b] / counts[b]) if counts[b] else None,
            accuracy=float(correct_counts[b] / counts[b]) if counts[b] else None,
        )
        for b in range(bins)
    )


def expected_calibration_error(bins: tuple[CalibrationBin, ...]) -> float:
    """Compute the ECE in [0, 1]: mean |accuracy − confidence| over bins, weighted by their samples.

    Guo et al., "On Calibration of Modern Neural Networks" (ICML 2017), equation 3.
    """
    # Empty bins have neither accuracy nor confidence.
    total = sum(b.count for b in bins)
    return sum(
        b.count * abs(b.accuracy - b.confidence)
        for b in bins
        if b.accuracy is not None and b.confidence is not None
    ) / max(total, 1)


def brier_score(probabilities: np.ndarray, labels: np.ndarray) -> float:
    """Compute the mean squared distance between rows and one-hot labels, in [0, 2]."""
    one_hot = np.eye(probabilities.shape[1])[labels]
    return float(((probabilities - one_hot) ** 2).sum(axis=1).mean())


def negative_log_likelihood(probabilities: np.ndarray, labels: np.ndarray) -> float:
    """Compute the mean −log probability of the true class, in nats.

    A probability of 0 counts as about 1e-308.
    """
    true = probabilities[np.arange(len(labels)), labels]
    return float(-np.log(np.maximum(true, np.finfo(np.float64).tiny)).mean())
