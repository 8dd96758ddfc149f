"""Generalized zero-shot recognition: classes seen in training and unseen ones, all at once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ke2nt.evaluation.metrics import ClassificationReport, Interval, percentile_interval
from ke2nt.evaluation.rates import bootstrap_confusions

__all__ = ["GeneralizedMetrics", "PartMetrics", "compute_generalized_metrics"]


@dataclass(frozen=True, slots=True)
class PartMetrics:
    """Rates in [0, 1] over the images of some classes; every class is a possible answer.

    Attributes:
        accuracy: Share of correct predictions.
        recall: Mean recall over the classes.
        accuracy_interval: 95 % bootstrap interval, or None without resamples.
        recall_interval: 95 % bootstrap interval, or None without resamples.
    """

    accuracy: float
    recall: float
    accuracy_interval: Interval | None
    recall_interval: Interval | None

    def to_dict(self) -> dict[str, Any]:
        """Return a plain JSON value."""
        return {
            "accuracy": self.accuracy,
            "mean_class_recall": self.recall,
            "accuracy_interval": self.accuracy_interval and list(self.accuracy_interval),
            "mean_class_recall_interval": self.recall_interval and list(self.recall_interval),
        }


@dataclass(frozen=True, slots=True)
class GeneralizedMetrics:
    """Metrics on the classes that a model was trained on, and on classes new to it.

    Attributes:
        seen_classes: Classes with images that the model was trained on.
        unseen_classes: Classes with images that it was not trained on.
        n_seen: Number of images of the seen classes.
        n_unseen: Number of images of the unseen classes.
        seen: Metrics over the images of seen classes.
        unseen: Metrics over the images of unseen classes.
        harmonic: Harmonic means 2su / (s + u) of both, for accuracy and for mean class recall; Xian
            et al. (arXiv 1707.00600) use the latter.
    """

    seen_classes: tuple[str, ...]
    unseen_classes: tuple[str, ...]
    n_seen: int
    n_unseen: int
    seen: PartMetrics
    unseen: PartMetrics
    harmonic: PartMetrics

    def to_dict(self) -> dict[str, Any]:
        """Return a plain JSON value."""
        return {
            "seen_classes": list(self.seen_classes),
            "unseen_classes": list(self.unseen_classes),
            "n_seen": self.n_seen,
            "n_unseen": self.n_unseen,
            "seen": self.seen.to_dict(),
            "unseen": self.unseen.to_dict(),
            "harmonic": self.harmonic.to_dict(),
        }


def compute_generalized_metrics(
    report: ClassificationReport, seen: Sequence[str], *, resamples: int = 1000, seed: int = 0
) -> GeneralizedMetrics | None:
    """Compute metrics over seen and unseen classes; None if either has no images.

    Args:
        report: Metrics over all classes; its confusion matrix is split.
        seen: Classes that the model was trained on.
        resamples: Bootstrap resamples for the intervals; 0 for none.
        seed: Seed of the resamples.
    """
    confusion = report.confusion
    present = confusion.sum(axis=1) > 0
    trained = np.array([name in seen for name in report.classes])
    if not (present & trained).any() or not (present & ~trained).any():
        return None

    # (parts, rates): seen, unseen, harmonic; accuracy, mean recall
    point = _compute_part_rates(confusion[None], trained)[:, :, 0]
    intervals: list[list[Interval | None]] = [[None, None] for _ in range(3)]
    if resamples:
        resampled = bootstrap_confusions(confusion, resamples, seed)
        intervals = [
            [percentile_interval(values) for values in part]
            for part in _compute_part_rates(resampled, trained)
        ]

    parts = [
        PartMetrics(float(accuracy), float(recall), *part_intervals)
        for (accuracy, recall), part_intervals in zip(point, intervals, strict=True)
    ]
    names = np.array(report.classes)
    return GeneralizedMetrics(
        seen_classes=tuple(names[present & trained].tolist()),
        unseen_classes=tuple(names[present & ~trained].tolist()),
        n_seen=int(confusion[trained].sum()),
        n_unseen=int(confusion[~trained].sum()),
        seen=parts[0],
        unseen=parts[1],
        harmonic=parts[2],
    )


def _compute_part_rates(confusions: np.ndarray, trained: np.ndarray) -> np.ndarray:
    """Rates of B confusion matrices by part.

    Args:
        confusions: (B, K, K).
        trained: bool (K,), whether the model was trained on the class.

    Returns:
        (3, 2, B): seen, unseen, harmonic; accuracy, mean recall. NaN where nothing was drawn.
    """
    seen = _compute_rates_of(confusions, trained)
    unseen = _compute_rates_of(confusions, ~trained)

    # Zero if both are zero.
    total = seen + unseen
    harmonic = np.divide(2 * seen * unseen, total, out=np.zeros_like(total), where=total != 0)
    return np.stack([seen, unseen, harmonic])


def _compute_rates_of(confusions: np.ndarray, chosen: np.ndarray) -> np.ndarray:
    """(2, B): accuracy and mean recall over the chosen classes; NaN where nothing was drawn."""
    hits = np.diagonal(confusions, axis1=-2, axis2=-1).astype(np.float64)[:, chosen]
    support = confusions.sum(axis=-1)[:, chosen]

    # Accuracy weighs images equally, mean recall weighs classes equally.
    images, right = support.sum(axis=-1), hits.sum(axis=-1)
    accuracy = np.divide(right, images, out=np.full(right.shape, np.nan), where=images > 0)

    # Classes that a resample did not draw are left out of its mean.
    recall = np.divide(hits, support, out=np.full(hits.shape, np.nan), where=support > 0)
    drawn = ~np.isnan(recall)
    num_drawn = np.where(drawn.any(axis=-1), drawn.sum(axis=-1), np.nan)
    return np.stack([accuracy, np.nansum(recall, axis=-1) / num_drawn])
