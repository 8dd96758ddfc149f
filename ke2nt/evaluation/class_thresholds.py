"""A confidence threshold for each predicted class, so that rare classes are answered, too."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Literal

import numpy as np

from ke2nt.errors import DataError
from ke2nt.evaluation.coverage import coverage_risk, threshold_for_coverage, threshold_for_risk
from ke2nt.models.calibration import Calibration

__all__ = ["add_class_thresholds"]

_MIN_FACES = 10  # predictions of a class that its risk can be told from


def add_class_thresholds(
    calibration: Calibration,
    probabilities: np.ndarray,
    labels: np.ndarray,
    classes: Sequence[str],
) -> Calibration:
    """Meet the target of a calibration's threshold for the predictions of each class.

    One threshold for all meets it on average, and may withhold nearly every prediction of a rare
    class, whose probabilities are low. A class with fewer than ten predictions, whose risk cannot
    be told, is answered as often as all classes together; one without a threshold of that risk has
    the common threshold.

    Args:
        calibration: With a `min_confidence` for a target "risk" or "coverage", see `add_threshold`.
        probabilities: (N, K), calibrated; ideally from the result of `cross_fit_logits`.
        labels: (N,) class indices.
        classes: K names.

    Raises:
        DataError: The threshold has another target.
    """
    facts = calibration.threshold
    target = facts.get("target")
    if target not in ("risk", "coverage"):
        raise DataError(
            "thresholds by class need a target", expected="risk or coverage", found=target
        )

    # (N,) the predicted class, and K thresholds
    predicted = probabilities.argmax(axis=1)
    thresholds: list[float] = []
    by_class: dict[str, Any] = {}
    for k, name in enumerate(classes):
        rows = predicted == k
        limit, met = calibration.min_confidence or 0.0, False
        if rows.any():
            limit, met = _fit_one(probabilities[rows], labels[rows], target, facts, limit)
        thresholds.append(limit)

        # what it achieves on this data
        answered = rows & (probabilities[:, k] >= limit)
        by_class[name] = {
            "n": int(rows.sum()),
            "min_confidence": limit,
            "coverage": _share(answered[rows]),
            "risk": _share(labels[answered] != k),
            "met": met,
        }

    confidence = probabilities.max(axis=1)
    answered = confidence >= np.array(thresholds)[predicted]
    overall = {
        "coverage": _share(answered),
        "risk": _share(labels[answered] != predicted[answered]),
        "by_class": by_class,
    }
    return replace(
        calibration, class_min_confidence=tuple(thresholds), threshold={**facts, **overall}
    )


def _fit_one(
    probabilities: np.ndarray,
    labels: np.ndarray,
    target: Literal["risk", "coverage"],
    facts: Any,
    common: float,
) -> tuple[float, bool]:
    """Threshold of the predictions of one class, and whether it meets the target."""
    curve = coverage_risk(probabilities, labels)
    if target == "coverage":
        return threshold_for_coverage(curve, facts["value"]), True
    if len(labels) < _MIN_FACES:
        return threshold_for_coverage(curve, facts["coverage"]), False
    try:
        return threshold_for_risk(curve, facts["value"]), True
    except DataError:
        return common, False


def _share(values: np.ndarray) -> float | None:
    return float(values.mean()) if len(values) else None
