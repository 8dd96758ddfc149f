"""Metrics of one ensemble, and differences of two on the same images, with intervals."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from ke2nt.evaluation.metrics import Interval, percentile_interval
from ke2nt.evaluation.rates import bootstrap_confusions

__all__ = ["Metrics", "compute_difference", "compute_metrics", "count_paired_outcomes"]


@dataclass(frozen=True, slots=True)
class Metrics:
    """Accuracy, UAR and recalls in [0, 1], or differences of them in [−1, 1].

    Attributes:
        accuracy: Share of correct predictions (WAR).
        uar: Mean recall over the classes that have images.
        recall: Recall of each class; None for a class without images.
        intervals: 95 % bootstrap intervals of "accuracy" and "uar"; empty without resamples.
        recall_intervals: 95 % bootstrap interval of each class's recall, or None.
    """

    accuracy: float
    uar: float
    recall: tuple[float | None, ...]
    intervals: Mapping[str, Interval]
    recall_intervals: tuple[Interval | None, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return a plain JSON value."""
        return {
            "accuracy": self.accuracy,
            "uar": self.uar,
            "intervals": {name: list(pair) for name, pair in self.intervals.items()},
            "recall": list(self.recall),
            "recall_intervals": [pair and list(pair) for pair in self.recall_intervals],
        }


def compute_metrics(
    correct: np.ndarray, support: np.ndarray, *, resamples: int = 1000, seed: int = 0
) -> Metrics:
    """Compute the metrics of an ensemble with `correct` (K,) of `support` (K,) images right."""
    counts = np.stack([correct, support - correct], axis=1)
    return _compute_from_outcomes(counts, np.array([1, 0]), resamples, seed)


def count_paired_outcomes(
    first: np.ndarray, second: np.ndarray, labels: np.ndarray, num_classes: int
) -> np.ndarray:
    """Count the outcomes of two predictions for the same N images, by class.

    Args:
        first: bool (N,), whether the first prediction is right.
        second: bool (N,), whether the second prediction is right.
        labels: (N,) class indices.
        num_classes: K.

    Returns:
        int64 (K, 4): both right, only the first, only the second, neither.
    """
    outcome = 2 * ~first + ~second
    return np.bincount(labels * 4 + outcome, minlength=4 * num_classes).reshape(num_classes, 4)


def compute_difference(table: np.ndarray, *, resamples: int = 1000, seed: int = 0) -> Metrics:
    """Compute second minus first from `count_paired_outcomes`, with paired bootstrap intervals.

    The bootstrap draws images, both predictions together, so images that both get right or wrong
    do not widen the interval (Koehn, "Statistical significance tests for machine translation
    evaluation", EMNLP 2004, section 4).
    """
    return _compute_from_outcomes(table, np.array([0, -1, 1, 0]), resamples, seed)


def _compute_from_outcomes(
    counts: np.ndarray, worth: np.ndarray, resamples: int, seed: int
) -> Metrics:
    """Compute metrics from outcomes counted by class (K, C), each outcome worth a number (C,).

    Draws with replacement fill the cells with multinomial counts, as in `bootstrap_confusions`.
    """
    accuracy, uar, recall = _compute_rates(counts[None], worth)

    intervals: dict[str, Interval] = {}
    recall_intervals: list[Interval | None] = [None] * len(counts)
    if resamples:
        # (resamples,), (resamples,) and (resamples, K)
        resampled = bootstrap_confusions(counts, resamples, seed)
        accuracies, uars, recalls = _compute_rates(resampled, worth)
        for name, values in (("accuracy", accuracies), ("uar", uars)):
            interval = percentile_interval(values)
            if interval is not None:
                intervals[name] = interval
        recall_intervals = [percentile_interval(column) for column in recalls.T]

    return Metrics(
        accuracy=float(accuracy[0]),
        uar=float(uar[0]),
        recall=tuple(None if np.isnan(value) else float(value) for value in recall[0]),
        intervals=intervals,
        recall_intervals=tuple(recall_intervals),
    )


def _compute_rates(
    counts: np.ndarray, worth: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Accuracy (B,), UAR (B,) and recall (B, K) of outcomes (B, K, C)."""
    support, gain = counts.sum(axis=-1), counts @ worth
    recall = np.divide(gain, support, out=np.full(gain.shape, np.nan), where=support > 0)
    return gain.sum(axis=-1) / support.sum(axis=-1), np.nanmean(recall, axis=-1), recall
