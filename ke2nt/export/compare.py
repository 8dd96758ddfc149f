"""How much a change of form changed the answers."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from ke2nt.evaluation.predictions import Predictions
from ke2nt.labels import map_labels

__all__ = ["Comparison", "compare_probabilities", "find_labels"]


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two sets of probabilities of the same N faces.

    Attributes:
        n: Number of faces.
        changed: How many of them get another answer.
        max_difference: Largest absolute difference of any probability.
        accuracy_before: Share of right answers before, or None without labels.
        accuracy_after: Likewise after.
    """

    n: int
    changed: int
    max_difference: float
    accuracy_before: float | None = None
    accuracy_after: float | None = None

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON value."""
        return asdict(self)


def compare_probabilities(
    before: np.ndarray, after: np.ndarray, labels: np.ndarray | None = None
) -> Comparison:
    """Compare probabilities.

    Args:
        before: (N, K).
        after: (N, K), of the same faces.
        labels: (N,) true class indices, where known.
    """
    first, second = before.argmax(axis=1), after.argmax(axis=1)
    return Comparison(
        n=len(before),
        changed=int((first != second).sum()),
        max_difference=float(np.abs(before.astype(np.float64) - after).max()),
        accuracy_before=None if labels is None else float((first == labels).mean()),
        accuracy_after=None if labels is None else float((second == labels).mean()),
    )


def find_labels(predictions: Predictions) -> np.ndarray | None:
    """(N,) true classes in the model's label set; None where the data has another one."""
    if set(predictions.data_classes) != set(predictions.classes):
        return None
    mapping = map_labels(predictions.data_classes, predictions.classes)
    return np.array(mapping.index, dtype=np.int64)[predictions.labels]
