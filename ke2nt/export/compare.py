"""How much an export changed the predictions of a model."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from ke2nt.evaluation.metrics import classification_report
from ke2nt.evaluation.predictions import Predictions
from ke2nt.labels import map_labels

__all__ = ["Comparison", "compare_probabilities", "find_labels"]


@dataclass(frozen=True, slots=True)
class Comparison:
    """Probabilities of the same N faces before and after.

    Attributes:
        n: Number of faces.
        changed: Number of faces whose predicted class changed.
        max_difference: Largest absolute difference of any probability.
        accuracy_before: Share of correct predictions before, or None without labels.
        accuracy_after: Share of correct predictions after, or None without labels.
        uar_before: Unweighted average recall before, or None without labels.
        uar_after: Unweighted average recall after, or None without labels.
        ece_before: Expected calibration error before, or None without labels.
        ece_after: Expected calibration error after, or None without labels.
    """

    n: int
    changed: int
    max_difference: float
    accuracy_before: float | None = None
    accuracy_after: float | None = None
    uar_before: float | None = None
    uar_after: float | None = None
    ece_before: float | None = None
    ece_after: float | None = None

    def to_dict(self) -> dict[str, Any]:
        """Convert to a plain JSON value."""
        return asdict(self)


def compare_probabilities(
    before: np.ndarray, after: np.ndarray, labels: np.ndarray | None = None
) -> Comparison:
    """Compare probabilities.

    Args:
        before: (N, K).
        after: (N, K), of the same faces.
        labels: (N,) true class indices, if known.
    """
    metrics: dict[str, float] = {}
    if labels is not None:
        classes = [str(index) for index in range(before.shape[1])]
        for when, values in (("before", before), ("after", after)):
            report = classification_report(values, labels, classes, bootstrap=0)
            for name in ("accuracy", "uar", "ece"):
                metrics[f"{name}_{when}"] = getattr(report, name)

    return Comparison(
        n=len(before),
        changed=int((before.argmax(axis=1) != after.argmax(axis=1)).sum()),
        max_difference=float(np.abs(before.astype(np.float64) - after).max()),
        **metrics,
    )


def find_labels(predictions: Predictions) -> np.ndarray | None:
    """Return (N,) true classes in the model's label set; None if the data has another label set."""
    if set(predictions.data_classes) != set(predictions.classes):
        return None

    # the same classes may come in another order
    mapping = map_labels(predictions.data_classes, predictions.classes)
    return np.array(mapping.index, dtype=np.int64)[predictions.labels]
