"""A calibration from validation data, with metrics that are not flattered by the fit."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import torch

from ke2nt.checkpoints.calibration import Calibration, Method
from ke2nt.errors import DataError
from ke2nt.evaluation.calibration_metrics import (
    expected_calibration_error,
    negative_log_likelihood,
    reliability_bins,
)
from ke2nt.evaluation.coverage import coverage_risk, threshold_for_coverage, threshold_for_risk
from ke2nt.evaluation.temperature import fit_temperature, fit_vector, softmax
from ke2nt.runtime.seeding import derive_seed

__all__ = ["cross_fit_logits", "fit_calibration", "add_threshold"]


def fit_calibration(
    logits: np.ndarray,
    labels: np.ndarray,
    *,
    method: Method = "temperature",
    folds: int = 5,
    seed: int = 0,
    fitted_on: Mapping[str, Any] | None = None,
) -> Calibration:
    """Fit a calibration to all samples, and measure it on samples that a fit has not seen.

    The metrics `ece_after` and `nll_after` are cross-fitted: each fold is calibrated by a fit to
    the others. Those of the final fit on its own samples, which flatter, are kept as
    `ece_after_same_data` and `nll_after_same_data`.

    Args:
        logits: (N, K), as the model gives them.
        labels: (N,) class indices.
        method: "temperature" or "vector".
        folds: Number of folds, stratified by class; 2 to N.
        seed: Seed of the folds.
        fitted_on: Facts on the data, plain JSON.

    Raises:
        DataError: Too few samples, or the arrays do not fit; vector scaling needs every class
            twice.
    """
    logits, labels = np.asarray(logits, np.float64), np.asarray(labels, np.int64)
    held_out = cross_fit_logits(logits, labels, method=method, folds=folds, seed=seed)
    final = _fit(logits, labels, method)
    metrics: dict[str, Any] = {"n": len(labels), "folds": folds, "seed": seed}
    for when, scaled in (
        ("before", logits),
        ("after", held_out),
        ("after_same_data", _scaled(final, logits)),
    ):
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
    """Logits calibrated fold by fold, each by a fit to the other folds.

    Args:
        logits: As in `fit_calibration`, as are labels, method, folds and seed.

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
    fold = _folds(labels, folds, seed)
    held_out = np.empty_like(logits)
    for k in range(folds):
        inside = fold == k
        held_out[inside] = _scaled(_fit(logits[~inside], labels[~inside], method), logits[inside])
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
    """The calibration with a `min_confidence`, chosen by exactly one of three targets.

    Args:
        calibration: A fitted calibration.
        probabilities: (N, K), calibrated; best those of `cross_fit_logits` logits.
        labels: (N,) class indices.
        risk: Highest share of wrong answers among those that are given.
        coverage: Least share of faces that are answered.
        confidence: The threshold itself.

    Raises:
        DataError: None or several targets are given, or the target cannot be met.
    """
    targets = {"risk": risk, "coverage": coverage, "confidence": confidence}
    given = {name: value for name, value in targets.items() if value is not None}
    if len(given) != 1:
        raise DataError(
            "a threshold needs one target", expected=" or ".join(targets), found=list(given)
        )
    ((target, value),) = given.items()
    curve = coverage_risk(probabilities, labels)
    if target == "risk":
        threshold = threshold_for_risk(curve, value)
    elif target == "coverage":
        threshold = threshold_for_coverage(curve, value)
    else:
        threshold = value
    share, wrong = curve.at(threshold)
    facts = {"target": target, "value": value, "coverage": share, "risk": wrong}
    return replace(calibration, min_confidence=threshold, threshold=facts)


def _fit(logits: np.ndarray, labels: np.ndarray, method: Method) -> Calibration:
    if method == "temperature":
        return Calibration(temperature=fit_temperature(logits, labels))
    weight, bias = fit_vector(logits, labels)
    return Calibration("vector", weight=tuple(weight), bias=tuple(bias))


def _scaled(calibration: Calibration, logits: np.ndarray) -> np.ndarray:
    return calibration.apply(torch.from_numpy(logits)).numpy()


def _folds(labels: np.ndarray, folds: int, seed: int) -> np.ndarray:
    """Fold of each sample: every class is dealt out evenly, in a random order."""
    shuffled = np.random.default_rng(derive_seed(seed, "calibration folds")).permutation(
        len(labels)
    )
    by_class = shuffled[np.argsort(labels[shuffled], kind="stable")]
    fold = np.empty(len(labels), dtype=np.int64)
    fold[by_class] = np.arange(len(labels)) % folds
    return fold
