"""Classification metrics of predicted class probabilities, as a report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from ke2nt.errors import DataError
from ke2nt.evaluation.calibration_metrics import (
    CalibrationBin,
    brier_score,
    expected_calibration_error,
    negative_log_likelihood,
    reliability_bins,
)
from ke2nt.evaluation.rates import bootstrap_confusions, confusion_matrix, rates

__all__ = [
    "ClassMetrics",
    "ClassificationReport",
    "Interval",
    "classification_report",
    "percentile_interval",
]

Interval = tuple[float, float]
LEVEL = 0.95


@dataclass(frozen=True, slots=True)
class ClassMetrics:
    """Metrics of one class, in [0, 1]; None where a metric is undefined.

    Attributes:
        name: Class name.
        support: Number of samples of the class.
        precision: None for a class without samples or never predicted.
        recall: None for a class without samples.
        f1: None for a class without samples.
        recall_interval: 95 % bootstrap interval of the recall. It is too narrow if the support is
            small, and has no width if all or none of the class is recognized.
    """

    name: str
    support: int
    precision: float | None
    recall: float | None
    f1: float | None
    recall_interval: Interval | None


@dataclass(frozen=True, slots=True)
class ClassificationReport:
    """Metrics of a classifier on N samples of K classes; rates are in [0, 1].

    Classes without samples have None for their rates and are left out of `uar` and `macro_f1`.

    Attributes:
        classes: Class names, in index order.
        n: Number of samples, N.
        accuracy: Share of correct predictions (weighted average recall, WAR).
        uar: Unweighted average recall.
        macro_f1: Mean F1.
        ece: Expected calibration error over the equal-width `calibration` bins.
        nll: Mean negative log-likelihood, in nats.
        brier: Brier score over all classes, in [0, 2].
        intervals: 95 % bootstrap percentile intervals of "accuracy", "uar" and "macro_f1"; empty
            without resamples.
        per_class: One entry per class.
        confusion: Counts, int64 (K, K), rows are the true classes.
        calibration: Reliability bins.
        resamples: Number of bootstrap resamples.
        seed: Seed of the resamples.
    """

    classes: tuple[str, ...]
    n: int
    accuracy: float
    uar: float
    macro_f1: float
    ece: float
    nll: float
    brier: float
    intervals: Mapping[str, Interval]
    per_class: tuple[ClassMetrics, ...]
    confusion: np.ndarray
    calibration: tuple[CalibrationBin, ...]
    resamples: int
    seed: int

    def to_dict(self) -> dict[str, Any]:
        """Return a plain JSON value; undefined metrics are null."""
        # JSON has lists, not tuples.
        intervals = {name: list(interval) for name, interval in self.intervals.items()}
        per_class = [
            {**asdict(c), "recall_interval": c.recall_interval and list(c.recall_interval)}
            for c in self.per_class
        ]

        return {
            # Metrics over all samples.
            "n": self.n,
            "accuracy": self.accuracy,
            "uar": self.uar,
            "macro_f1": self.macro_f1,
            "ece": self.ece,
            "nll": self.nll,
            "brier": self.brier,
            "intervals": {
                "level": LEVEL,
                "resamples": self.resamples,
                "seed": self.seed,
                **intervals,
            },
            # By class, and by confidence.
            "classes": list(self.classes),
            "per_class": per_class,
            "confusion": self.confusion.tolist(),
            "calibration": [asdict(b) for b in self.calibration],
        }


def classification_report(
    probabilities: np.ndarray,
    labels: np.ndarray,
    classes: Sequence[str],
    *,
    bootstrap: int = 1000,
    seed: int = 0,
    bins: int = 15,
) -> ClassificationReport:
    """Compute the metrics of predicted probabilities against true labels.

    The predicted class is the most probable one; of equally probable classes, the first. The
    bootstrap interval of a class's recall uses the resamples that contain the class.

    Args:
        probabilities: (N, K) in [0, 1], rows sum to 1.
        labels: (N,) integer class indices.
        classes: K class names.
        bootstrap: Number of resamples for the intervals; 0 for none.
        seed: Seed of the resamples.
        bins: Number of equal-width confidence bins for the calibration error.

    Raises:
        DataError: Shapes, rows or labels do not fit.
    """
    probabilities = np.asarray(probabilities, dtype=np.float64)
    labels = np.asarray(labels, dtype=np.int64)
    _check_inputs(probabilities, labels, len(classes))

    # The rates and their intervals depend on the confusion matrix alone.
    confusion = confusion_matrix(labels, probabilities.argmax(axis=1), len(classes))
    point = rates(confusion)
    intervals, recall_intervals = _compute_intervals(confusion, bootstrap, seed)

    # The calibration metrics need the probabilities.
    calibration = reliability_bins(probabilities, labels, bins=bins)

    return ClassificationReport(
        classes=tuple(classes),
        n=len(labels),
        accuracy=float(point.accuracy),
        uar=float(point.uar),
        macro_f1=float(point.macro_f1),
        ece=expected_calibration_error(calibration),
        nll=negative_log_likelihood(probabilities, labels),
        brier=brier_score(probabilities, labels),
        intervals=intervals,
        per_class=tuple(
            ClassMetrics(
                name=name,
                support=int(confusion[k].sum()),
                precision=_none_if_nan(point.precision[k]),
                recall=_none_if_nan(point.recall[k]),
                f1=_none_if_nan(point.f1[k]),
                recall_interval=recall_intervals[k],
            )
            for k, name in enumerate(classes)
        ),
        confusion=confusion,
        calibration=calibration,
        resamples=bootstrap,
        seed=seed,
    )


def percentile_interval(values: np.ndarray) -> Interval | None:
    """Return the middle 95 % of resampled values, ignoring NaN; None if nothing is left."""
    # A resample without samples of a class has no recall of it.
    values = values[~np.isnan(values)]
    if not values.size:
        return None
    low, high = np.percentile(values, [50 * (1 - LEVEL), 50 * (1 + LEVEL)])
    return float(low), float(high)


def _check_inputs(probabilities: np.ndarray, labels: np.ndarray, num_classes: int) -> None:
    """Raise DataError if probabilities or labels are not valid."""
    n = len(labels)
    if probabilities.shape != (n, num_classes) or labels.ndim != 1 or n == 0:
        raise DataError(
            "probabilities and labels do not fit together",
            expected=f"(N, {num_classes}) and (N,), N at least 1",
            found=f"{probabilities.shape} and {labels.shape}",
        )

    # Rows are distributions, up to the rounding of half precision.
    if not np.isfinite(probabilities).all() or (probabilities < 0).any():
        raise DataError("probabilities must be finite and not negative")
    off = np.abs(probabilities.sum(axis=1) - 1).max()
    if off > 1e-4:
        raise DataError("probabilities must sum to 1 in every row", found=f"a row off by {off:.2g}")

    if labels.min() < 0 or labels.max() >= num_classes:
        raise DataError(
            "a label is outside the label set",
            expected=f"0 to {num_classes - 1}",
            found=f"{labels.min()} to {labels.max()}",
        )


def _compute_intervals(
    confusion: np.ndarray, bootstrap: int, seed: int
) -> tuple[dict[str, Interval], list[Interval | None]]:
    """Intervals of the overall rates by name, and of each class's recall."""
    if not bootstrap:
        return {}, [None] * len(confusion)

    # Rates (B,) and recalls (B, K) of the resampled matrices.
    resampled = rates(bootstrap_confusions(confusion, bootstrap, seed))
    intervals: dict[str, Interval] = {}
    for name in ("accuracy", "uar", "macro_f1"):
        interval = percentile_interval(getattr(resampled, name))
        assert interval is not None  # every resample has samples
        intervals[name] = interval

    return intervals, [percentile_interval(column) for column in resampled.recall.T]


def _none_if_nan(value: float) -> float | None:
    return None if np.isnan(value) else float(value)
