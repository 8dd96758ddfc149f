"""Figures of one ensemble, and differences of two on the same images, with their intervals."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from ke2nt.evaluation.metrics import Interval, percentile_interval
from ke2nt.evaluation.rates import bootstrap_confusions

__all__ = ["Metrics", "compute_metrics", "compute_difference", "count_paired_outcomes"]


@dataclass(frozen=True, slots=True)
class Metrics:
    """Accuracy, UAR and recalls: in [0, 1], or differences of such metrics in [−1, 1].

    Attributes:
        accuracy: Share of right answers (WAR).
        uar: Mean recall over the classes that have images.
        recall: Recall of each class; None for a class without images.
        intervals: 95 % bootstrap intervals of "accuracy" and "uar"; empty without resamples.
        recall_intervals: The same of each class's recall; None where there is none.
    """

    accuracy: float
    uar: float
    recall: tuple[float | None, ...]
    intervals: Mapping[str, Interval]
    recall_intervals: tuple[Interval | None, ...]

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON value."""
        return {
            "accuracy": self.accuracy,
            "uar": self.uar,
            "intervals": {name: list(pair) for name, pair in self.intervals.items()},
            "recall": list(self.recall),
            "recall_intervals": [pair and list(pair) for pair in self.recall_intervals],
        }


def compute_metrics(
    hits: np.ndarray, support: np.ndarray, *, resamples: int = 1000, seed: int = 0
) -> Metrics:
    """Figures of an ensemble with `hits` (K,) right answers among `support` (K,) images."""
    return _figures(np.stack([hits, support - hits], axis=1), np.array([1, 0]), resamples, seed)


def count_paired_outcomes(
    first: np.ndarray, second: np.ndarray, labels: np.ndarray, num_classes: int
) -> np.ndarray:
    """Outcomes of two answers to the same N images, counted by class.

    Args:
        first: bool (N,), whether the first answer is right.
        second: The same of the second.
        labels: (N,) class indices.
        num_classes: K.

    Returns:
        int64 (K, 4): both right, only the first, only the second, neither.
    """
    outcome = 2 * ~first + ~second
    return np.bincount(labels * 4 + outcome, minlength=4 * num_classes).reshape(num_classes, 4)


def compute_difference(table: np.ndarray, *, resamples: int = 1000, seed: int = 0) -> Metrics:
    """Second minus first, from `count_paired_outcomes`, with intervals from a paired bootstrap.

    A pair of answers to the same image is drawn as one, so what both get right or wrong does not
    widen the interval (Koehn, "Statistical significance tests for machine translation
    evaluation", EMNLP 2004, section 4).
    """
    return _figures(table, np.array([0, -1, 1, 0]), resamples, seed)


def _figures(counts: np.ndarray, worth: np.ndarray, resamples: int, seed: int) -> Metrics:
    """Figures of outcomes (K, C), each worth a number (C,).

    Draws with replacement fill the cells with multinomial counts, as in `bootstrap_confusions`.
    """
    accuracy, uar, recall = _rates(counts[None], worth)
    intervals: dict[str, Interval] = {}
    recall_intervals: list[Interval | None] = [None] * len(counts)
    if resamples:
        drawn = _rates(bootstrap_confusions(counts, resamples, seed), worth)
        found = {"accuracy": percentile_interval(drawn[0]), "uar": percentile_interval(drawn[1])}
        intervals = {name: interval for name, interval in found.items() if interval is not None}
        recall_intervals = [percentile_interval(column) for column in drawn[2].T]
    return Metrics(
        accuracy=float(accuracy[0]),
        uar=float(uar[0]),
        recall=tuple(None if np.isnan(value) else float(value) for value in recall[0]),
        intervals=intervals,
        recall_intervals=tuple(recall_intervals),
    )


def _rates(counts: np.ndarray, worth: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    support, gain = counts.sum(axis=-1), counts @ worth
    recall = np.divide(gain, support, out=np.full(gain.shape, np.nan), where=support > 0)
    return gain.sum(axis=-1) / support.sum(axis=-1), np.nanmean(recall, axis=-1), recall
