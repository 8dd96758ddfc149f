"""Selective answers: the risk among the answers that are given, against the share that is given."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ke2nt.errors import DataError

__all__ = ["CoverageRisk", "coverage_risk", "threshold_for_coverage", "threshold_for_risk"]


@dataclass(frozen=True, slots=True)
class CoverageRisk:
    """Coverage and risk at every threshold that makes a difference, M of them.

    At a threshold the faces whose confidence (highest probability) reaches it are answered; the
    others are withheld. Faces of equal confidence are answered together.

    Attributes:
        thresholds: (M,) float64, descending; the last one answers every face.
        coverage: (M,) share of the faces that are answered, ascending to 1.
        risk: (M,) share of wrong answers among them.
        area: Mean of the risk over the coverage (AURC): each face counts with the risk at the
            highest threshold that answers it.
    """

    thresholds: np.ndarray
    coverage: np.ndarray
    risk: np.ndarray
    area: float

    def at(self, threshold: float) -> tuple[float, float | None]:
        """Coverage and risk at any threshold; no risk where nothing is answered."""
        reached = int((self.thresholds >= threshold).sum())
        if not reached:
            return 0.0, None
        return float(self.coverage[reached - 1]), float(self.risk[reached - 1])


def coverage_risk(probabilities: np.ndarray, labels: np.ndarray) -> CoverageRisk:
    """The risk–coverage curve (El-Yaniv and Wiener, JMLR 2010; Geifman and El-Yaniv, NIPS 2017).

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
    confidence = probabilities.max(axis=1)
    wrong = probabilities.argmax(axis=1) != labels
    order = np.argsort(-confidence, kind="stable")
    ordered = confidence[order]
    last = np.flatnonzero(np.append(ordered[1:] < ordered[:-1], True))
    answered = last + 1
    risk = np.cumsum(wrong[order])[last] / answered
    return CoverageRisk(
        thresholds=ordered[last],
        coverage=answered / len(labels),
        risk=risk,
        area=float(risk @ np.diff(answered, prepend=0)) / len(labels),
    )


def threshold_for_coverage(curve: CoverageRisk, coverage: float) -> float:
    """A threshold at which at least a share of the faces is answered, and as few more as can be.

    Args:
        curve: Result of `coverage_risk`.
        coverage: Above 0, up to 1.

    Returns:
        In [0, 1], halfway between two confidences that occur, so that rounding changes nothing.

    Raises:
        DataError: The share is out of range.
    """
    if not 0 < coverage <= 1:
        raise DataError("coverage is out of range", expected="above 0, up to 1", found=coverage)
    return _between(curve, int(np.argmax(curve.coverage >= coverage - 1e-12)))


def threshold_for_risk(curve: CoverageRisk, risk: float) -> float:
    """The threshold that answers most faces while at most a share of the answers is wrong.

    It holds on the data of the curve; on other faces the risk will be somewhat higher or lower.

    Args:
        curve: Result of `coverage_risk`.
        risk: From 0 to below 1.

    Returns:
        As `threshold_for_coverage`.

    Raises:
        DataError: The share is out of range, or no threshold gets there.
    """
    if not 0 <= risk < 1:
        raise DataError("risk is out of range", expected="0 to below 1", found=risk)
    good = np.flatnonzero(curve.risk <= risk + 1e-12)
    if not len(good):
        raise DataError(
            "no threshold keeps the risk that low",
            expected=f"at least {curve.risk.min():.3g}, the least risk on this data",
            found=risk,
        )
    return _between(curve, int(good[-1]))


def _between(curve: CoverageRisk, index: int) -> float:
    """A threshold that answers as `thresholds[index]` does, away from every confidence."""
    if index == len(curve.thresholds) - 1:
        return 0.0
    return float(curve.thresholds[index : index + 2].mean())
