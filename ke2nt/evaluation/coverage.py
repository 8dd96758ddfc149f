"""Selective prediction: the error rate of the answers that are given, by the share given."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ke2nt.errors import DataError

__all__ = ["CoverageRisk", "coverage_risk", "threshold_for_coverage", "threshold_for_risk"]

_ROUNDING = 1e-12  # shares this close count as equal


@dataclass(frozen=True, slots=True)
class CoverageRisk:
    """Coverage and risk at each of the M thresholds that change them.

    At a threshold, a face is answered if its confidence (highest probability) reaches the
    threshold, and withheld otherwise. Faces of equal confidence are answered together.

    Attributes:
        thresholds: (M,) float64, descending; the last one answers every face.
        coverage: (M,) share of faces that are answered, ascending to 1.
        risk: (M,) share of wrong answers among the faces that are answered.
        area: Mean of the risk over the coverage (AURC): each face counts with the risk at the
            highest threshold that answers it.
    """

    thresholds: np.ndarray
    coverage: np.ndarray
    risk: np.ndarray
    area: float

    def at(self, threshold: float) -> tuple[float, float | None]:
        """Return coverage and risk at any threshold; the risk is None if nothing is answered."""
        reached = int((self.thresholds >= threshold).sum())
        if not reached:
            return 0.0, None
        return float(self.coverage[reached - 1]), float(self.risk[reached - 1])


def coverage_risk(probabilities: np.ndarray, labels: np.ndarray) -> CoverageRisk:
    """Compute the risk-coverage curve.

    El-Yaniv and Wiener (JMLR 2010); Geifman and El-Yaniv (NIPS 2017).

    Args:
        probabilities: (N, K), rows sum to 1; N at least 1.
        labels: (N,) class indices.

    Raises:
        DataError: Shapes do not fit.
    """
    if probabilities.ndim != 2 or labels.shape != probabilities.shape[:1] or not len(labels):
        raise DataError(
            "probabilities and labels do not fit together",
            expected="(N, K) and (N,), N at least 1",
            found=f"{probabilities.shape} and {labels.shape}",
        )

    # Most confident faces first.
    confidence = probabilities.max(axis=1)
    wrong = probabilities.argmax(axis=1) != labels
    order = np.argsort(-confidence, kind="stable")
    sorted_confidence = confidence[order]

    # Equal confidences share a threshold, so only the last face of each run is a point.
    last = np.flatnonzero(np.append(sorted_confidence[1:] < sorted_confidence[:-1], True))
    answered = last + 1
    risk = np.cumsum(wrong[order])[last] / answered

    return CoverageRisk(
        thresholds=sorted_confidence[last],
        coverage=answered / len(labels),
        risk=risk,
        area=float(risk @ np.diff(answered, prepend=0)) / len(labels),
    )


def threshold_for_coverage(curve: CoverageRisk, coverage: float) -> float:
    """Find the highest threshold that answers at least the given share of faces.

    Args:
        curve: Result of `coverage_risk`.
        coverage: Above 0, up to 1.

    Returns:
        In [0, 1], halfway between two observed confidences, so that rounding changes nothing.

    Raises:
        DataError: The share is out of range.
    """
    if not 0 < coverage <= 1:
        raise DataError("coverage is out of range", expected="above 0, up to 1", found=coverage)
    return _place_between(curve, int(np.argmax(curve.coverage >= coverage - _ROUNDING)))


def threshold_for_risk(curve: CoverageRisk, risk: float) -> float:
    """Find the threshold that answers most faces with at most the given share of wrong answers.

    It holds on the data of the curve; on other faces, the risk is somewhat higher or lower.

    Args:
        curve: Result of `coverage_risk`.
        risk: From 0 to below 1.

    Returns:
        In [0, 1], halfway between two observed confidences, so that rounding changes nothing.

    Raises:
        DataError: The share is out of range, or no threshold achieves it.
    """
    if not 0 <= risk < 1:
        raise DataError("risk is out of range", expected="0 to below 1", found=risk)

    # The risk is not monotone: the last acceptable point answers most faces.
    acceptable = np.flatnonzero(curve.risk <= risk + _ROUNDING)
    if not len(acceptable):
        raise DataError(
            "no threshold keeps the risk that low",
            expected=f"at least {curve.risk.min():.3g}, the least risk on this data",
            found=risk,
            hint="Raise --max-risk, or calibrate with more images.",
        )
    return _place_between(curve, int(acceptable[-1]))


def _place_between(curve: CoverageRisk, index: int) -> float:
    """Return a threshold that acts like `thresholds[index]` but equals no observed confidence."""
    if index == len(curve.thresholds) - 1:
        return 0.0
    return float(curve.thresholds[index : index + 2].mean())
