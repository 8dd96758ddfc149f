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
        accuracy: Share of right answers.
        recall: Mean recall over the classes.
        accuracy_interval: 95 % bootstrap interval, or None without resamples.
        recall_interval: Likewise.
    """

    accuracy: float
    recall: float
    accuracy_interval: Interval | None
    recall_interval: Interval | None


@dataclass(frozen=True, slots=True)
class GeneralizedMetrics:
    """How a model trained on some classes does on them and on others, told apart from each other.

    Attributes:
        seen_classes: Classes that it was trained on and that have images.
        unseen_classes: Classes with images that it was not trained on.
        n_seen: Images of the seen classes.
        n_unseen: Images of the unseen classes.
        seen: Metrics over the images of seen classes.
        unseen: Metrics over the images of unseen classes.
        harmonic: Harmonic means 2su / (s + u) of both, by accuracy and by mean class recall; Xian
            et al. (arXiv 1707.00600) take the latter.
    """

    seen_classes: tuple[str, ...]
    unseen_classes: tuple[str, ...]
    n_seen: int
    n_unseen: int
    seen: PartMetrics
    unseen: PartMetrics
    harmonic: PartMetrics

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON value."""
        return {
            "seen_classes": list(self.seen_classes),
            "unseen_classes": list(self.unseen_classes),
            "n_seen": self.n_seen,
            "n_unseen": self.n_unseen,
            **{name: _plain(getattr(self, name)) for name in ("seen", "unseen", "harmonic")},
        }


def compute_generalized_metrics(
    report: ClassificationReport, seen: Sequence[str], *, resamples: int = 1000, seed: int = 0
) -> GeneralizedMetrics | None:
    """Metrics over seen and unseen classes, or None where images of one kind are missing.

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
    point = _rates(confusion[None], trained)[:, :, 0]
    bounds: list[list[Interval | None]] = [[None, None] for _ in range(3)]
    if resamples:
        drawn = _rates(bootstrap_confusions(confusion, resamples, seed), trained)
        bounds = [[percentile_interval(values) for values in part] for part in drawn]
    parts = [
        PartMetrics(float(values[0]), float(values[1]), interval[0], interval[1])
        for values, interval in zip(point, bounds, strict=True)
    ]
    named = list(zip(report.classes, present, trained, strict=True))
    return GeneralizedMetrics(
        seen_classes=tuple(name for name, here, own in named if here and own),
        unseen_classes=tuple(name for name, here, own in named if here and not own),
        n_seen=int(confusion[trained].sum()),
        n_unseen=int(confusion[~trained].sum()),
        seen=parts[0],
        unseen=parts[1],
        harmonic=parts[2],
    )


def _rates(confusions: np.ndarray, trained: np.ndarray) -> np.ndarray:
    """(3, 2, B): seen, unseen, harmonic; accuracy, mean recall. NaN where nothing was drawn."""
    hits = np.diagonal(confusions, axis1=-2, axis2=-1).astype(np.float64)
    support = confusions.sum(axis=-1)
    recall = np.divide(hits, support, out=np.full(hits.shape, np.nan), where=support > 0)
    parts = []
    for chosen in (trained, ~trained):
        images = support[:, chosen].sum(axis=-1)
        right = hits[:, chosen].sum(axis=-1)
        accuracy = np.divide(right, images, out=np.full(right.shape, np.nan), where=images > 0)
        own = recall[:, chosen]
        drawn = ~np.isnan(own)
        mean = np.nansum(own, axis=-1) / np.where(drawn.any(axis=-1), drawn.sum(axis=-1), np.nan)
        parts.append(np.stack([accuracy, mean]))
    seen, unseen = parts
    total = seen + unseen
    harmonic = np.divide(2 * seen * unseen, total, out=np.zeros_like(total), where=total != 0)
    return np.stack([seen, unseen, harmonic])


def _plain(part: PartMetrics) -> dict[str, Any]:
    return {
        "accuracy": part.accuracy,
        "mean_class_recall": part.recall,
        "accuracy_interval": part.accuracy_interval and list(part.accuracy_interval),
        "mean_class_recall_interval": part.recall_interval and list(part.recall_interval),
    }
