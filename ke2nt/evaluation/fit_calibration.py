"""A calibration fitted to validation data, with honest metrics from cross-fitting."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import torch

from ke2nt.errors import DataError
from ke2nt.evaluation.calibration_metrics import (
    expected_calibration_error,
    negative_log_likelihood,
    reliability_bins,
)
from ke2nt.evaluation.coverage import coverage_risk, threshold_for_coverage, threshold_for_risk
from ke2nt.evaluation.temperature import fit_temperature, fit_vector, softmax
from ke2nt.models.calibration import Calibration, Method
from ke2nt.runtime.seeding import derive_seed

__all__ = ["add_threshold", "cross_fit_logits", "fit_calibration"]


def fit_calibration(
    logits: np.ndarray,
    labels: np.ndarray,
    *,
    method: Method = "temperature",
    folds: int = 5,
    seed: int = 0,
    fitted_on: Mapping[str, Any] | None = None,
) -> Calibration:
    """Fit a calibration to all samples, and measure it on samples held out from the fit.

    The metrics `ece_after` and `nll_after` are cross-fitted: each fold is calibrated by a fit to
    the other folds. The metrics of the final fit on the samples it was fitted to are too good;
    they are kept as `ece_after_same_data` and `nll_after_same_data`.

    Args:
        logits: (N, K), uncalibrated logits of the model.
        labels: (N,) class indices.
        method: "temperature" or "vector".
        folds: Number of folds, stratified by class; 2 to N.
        seed: Seed of the folds.
        fitted_on: Facts about the data, plain JSON.

    Raises:
        DataError: There are too few samples, the arrays do not fit, or vector scaling has a class
            with fewer than two samples.
    """
    logits, labels = np.asarray(logits, np.float64), np.asarray(labels, np.int64)
    # The stored calibration is fitted to all samples; its metrics come from the folds.
    held_out = cross_fit_logits(logits, labels, method=method, folds=folds, seed=seed)
    final = _fit(logits, labels, method)

    metrics: dict[str, Any] = {"n": len(labels), "folds": folds, "seed": seed}
    measured = {
        "before": logits,
        "after": held_out,
        "after_same_data": _calibrate(final, logits),
    }
    for when, scaled in measured.items():
        p = softmax(scaled)
        metrics[f"ece_{when}"] = expected_calibration_error(reliability_bins(p, labels))
        metrics[f"nll_{when}"] = negative_log_likelihood(p, labels)
        metrics[f"accuracy_{when}"] = float((p.argmax(axis=1) == labels).mean())

    return replace(final, metrics=metrics, fitted_on=dict(fitted_on or {}))


def cross_fit_logits(
    logits: np.ndarray,
    labels: np.ndarray,
    *,
    method: Method = "temperature",
    folds: int = 5,
    seed: int = 0,
) -> np.ndarray:
    """Calibrate logits fold by fold, each by a fit to the other folds.

    Args:
        logits: (N, K), as in `fit_calibration`; so are labels, method, folds and seed.

    Returns:
        (N, K) float64.

    Raises:
        DataError: As `fit_calibration`.
    """
    logits, labels = np.asarray(logits, np.float64), np.asarray(labels, np.int64)
    if len(labels) < 2:
        raise DataError(
            "too few images to calibrate with", expected="at least 2", found=len(labels)
        )
    if not 2 <= folds <= len(labels):
        raise DataError(
            "the number of folds is out of range", expected=f"2 to {len(labels)}", found=folds
        )

    fold_of_sample = _assign_folds(labels, folds, seed)
    held_out = np.empty_like(logits)
    for fold in range(folds):
        # Fit to the other folds, apply to this one.
        inside = fold_of_sample == fold
        fitted = _fit(logits[~inside], labels[~inside], method)
        held_out[inside] = _calibrate(fitted, logits[inside])
    return held_out


def add_threshold(
    calibration: Calibration,
    probabilities: np.ndarray,
    labels: np.ndarray,
    *,
    risk: float | None = None,
    coverage: float | None = None,
    confidence: float | None = None,
) -> Calibration:
    """Return the calibration with a `min_confidence`, chosen by exactly one of three targets.

    Args:
        calibration: A fitted calibration.
        probabilities: (N, K), calibrated; ideally from the result of `cross_fit_logits`.
        labels: (N,) class indices.
        risk: Highest share of wrong answers among the faces that are answered.
        coverage: Lowest share of faces that are answered.
        confidence: The threshold itself.

    Raises:
        DataError: None or several targets are given, or the target cannot be met.
    """
    targets = {"risk": risk, "coverage": coverage, "confidence": confidence}
    requested = {name: value for name, value in targets.items() if value is not None}
    if len(requested) != 1:
        raise DataError(
            "a threshold needs one target", expected=" or ".join(targets), found=list(requested)
        )
    ((target, value),) = requested.items()

    # Risk and coverage are targets to meet; a confidence is taken as it is.
    curve = coverage_risk(probabilities, labels)
    if target == "risk":
        threshold = threshold_for_risk(curve, value)
    elif target == "coverage":
        threshold = threshold_for_coverage(curve, value)
    else:
        threshold = value

    # What the threshold achieves on this data, which may be more than its target.
    achieved_coverage, achieved_risk = curve.at(threshold)
    facts = {"target": target, "value": value, "coverage": achieved_coverage, "risk": achieved_risk}
    return replace(calibration, min_confidence=threshold, threshold=facts)


def _fit(logits: np.ndarray, labels: np.ndarray, method: Method) -> Calibration:
    if method == "temperature":
        return Calibration(temperature=fit_temperature(logits, labels))
    weight, bias = fit_vector(logits, labels)
    return Calibration("vector", weight=tuple(weight), bias=tuple(bias))


def _calibrate(calibration: Calibration, logits: np.ndarray) -> np.ndarray:
    return calibration.apply(torch.from_numpy(logits)).numpy()


def _assign_folds(labels: np.ndarray, folds: int, seed: int) -> np.ndarray:
    """Assign a fold to each sample: (N,), the samples of each class spread evenly at random."""
    generator = np.random.default_rng(derive_seed(seed, "calibration folds"))
    shuffled = generator.permutation(len(labels))

    # Sorted by class, random within a class; then dealt out in turn.
    by_class = shuffled[np.argsort(labels[shuffled], kind="stable")]
    fold_of_sample = np.empty(len(labels), dtype=np.int64)
    fold_of_sample[by_class] = np.arange(len(labels)) % folds
    return fold_of_sample
