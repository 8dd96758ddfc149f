"""A calibration fitted to validation data, with honest metrics from cross-fitting."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
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
from ke2nt.evaluation.temperature import check_logits, fit_temperature, fit_vector, softmax
from ke2nt.models.calibration import Calibration, Method
from ke2nt.runtime.seeding import derive_seed

__all__ = ["add_threshold", "cross_fit_logits", "fit_calibration"]


def fit_calibration(
    logits: np.ndarray,
    labels: np.ndarray,
    *,
    degraded: np.ndarray | None = None,
    method: Method = "temperature",
    offsets: np.ndarray | None = None,
    folds: int = 5,
    seed: int = 0,
    fitted_on: Mapping[str, Any] | None = None,
) -> Calibration:
    """Fit a calibration to all samples, and measure it on samples held out from the fit.

    With degraded copies of the images, the log-loss that is minimized weighs the images and all
    their copies equally: a fit to the images alone makes the model too sure of images that are
    worse than those. For the same reason a temperature below 1, which makes every prediction more
    confident, is used only as far as the copies of each severity allow it.

    The metrics `ece_after` and `nll_after` are cross-fitted: each fold is calibrated by a fit to
    the other folds. The metrics of the final fit on the samples it was fitted to are too good;
    they are kept as `ece_after_same_data` and `nll_after_same_data`. Metrics of the copies have
    `degraded_` in front.

    Args:
        logits: (N, K), uncalibrated logits of the model.
        labels: (N,) class indices.
        degraded: (V, N, K), logits of degraded copies of each image at V severities; None for no
            copies.
        method: "temperature" or "vector".
        offsets: (K,) log ratio of the data's class prior to that of the logits, which a temperature
            leaves as it is; None if they agree. Vector scaling has biases of its own.
        folds: Number of folds, stratified by class; 2 to N.
        seed: Seed of the folds.
        fitted_on: Facts about the data, plain JSON.

    Raises:
        DataError: There are too few samples, the arrays do not fit, or vector scaling has a class
            with fewer than two samples.
    """
    logits, labels = check_logits(logits, labels)
    # The stored calibration is fitted to all samples; its metrics come from the folds.
    views = _stack_views(logits, degraded)
    fit = _Fit(method, None if offsets is None or method == "vector" else tuple(offsets))
    held_out = _cross_fit(views, labels, fit, folds, seed)
    final = fit(views, labels)
    fitted = _calibrate(final, views)

    metrics: dict[str, Any] = {"n": len(labels), "folds": folds, "seed": seed}
    if method == "temperature" and len(views) > 1:
        metrics["temperature_images"] = fit.temperature(logits, labels)
        metrics["temperature_degraded"] = fit.softest_temperature(views[1:], labels)
    unscaled = _calibrate(Calibration(offsets=fit.offsets), views)
    for when, scaled in (("before", unscaled), ("after", held_out), ("after_same_data", fitted)):
        metrics |= _measure(scaled[:1], labels, "", when)
        if len(views) > 1:
            metrics |= _measure(scaled[1:], labels, "degraded_", when)

    return replace(final, metrics=metrics, fitted_on=dict(fitted_on or {}))


def cross_fit_logits(
    logits: np.ndarray,
    labels: np.ndarray,
    *,
    degraded: np.ndarray | None = None,
    method: Method = "temperature",
    offsets: np.ndarray | None = None,
    folds: int = 5,
    seed: int = 0,
) -> np.ndarray:
    """Calibrate logits fold by fold, each by a fit to the other folds and their copies.

    Args:
        logits: (N, K), as in `fit_calibration`; so are all other arguments.

    Returns:
        (N, K) float64, of the images themselves.

    Raises:
        DataError: As `fit_calibration`.
    """
    logits, labels = check_logits(logits, labels)
    fit = _Fit(method, None if offsets is None or method == "vector" else tuple(offsets))
    return _cross_fit(_stack_views(logits, degraded), labels, fit, folds, seed)[0]


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


def _stack_views(logits: np.ndarray, degraded: np.ndarray | None) -> np.ndarray:
    """(1 + V, N, K): the images, then their copies."""
    if degraded is None:
        return logits[None]

    degraded = np.asarray(degraded, np.float64)
    if degraded.shape[1:] != logits.shape:
        raise DataError(
            "the logits of the copies do not fit those of the images",
            expected=f"(V, {', '.join(map(str, logits.shape))})",
            found=degraded.shape,
        )
    return np.concatenate([logits[None], degraded])


def _measure(views: np.ndarray, labels: np.ndarray, prefix: str, when: str) -> dict[str, float]:
    """ECE, log-loss and accuracy of logits (V, N, K), all views together."""
    p = softmax(views).reshape(-1, views.shape[-1])
    labels = np.tile(labels, len(views))
    return {
        f"{prefix}ece_{when}": expected_calibration_error(reliability_bins(p, labels)),
        f"{prefix}nll_{when}": negative_log_likelihood(p, labels),
        f"{prefix}accuracy_{when}": float((p.argmax(axis=1) == labels).mean()),
    }


def _cross_fit(
    views: np.ndarray, labels: np.ndarray, fit: _Fit, folds: int, seed: int
) -> np.ndarray:
    """Calibrate logits (V, N, K); an image and its copies are in the same fold."""
    if len(labels) < 2:
        raise DataError(
            "too few images to calibrate with", expected="at least 2", found=len(labels)
        )
    if not 2 <= folds <= len(labels):
        raise DataError(
            "the number of folds is out of range", expected=f"2 to {len(labels)}", found=folds
        )

    fold_of_sample = _assign_folds(labels, folds, seed)
    held_out = np.empty_like(views)
    for fold in range(folds):
        # Fit to the other folds, apply to this one.
        inside = fold_of_sample == fold
        fitted = fit(views[:, ~inside], labels[~inside])
        held_out[:, inside] = _calibrate(fitted, views[:, inside])
    return held_out


@dataclass(frozen=True)
class _Fit:
    """A method, and the offsets that a temperature leaves as they are."""

    method: Method
    offsets: tuple[float, ...] | None

    def __call__(self, views: np.ndarray, labels: np.ndarray) -> Calibration:
        """Fit to logits (1 + V, N, K): the images, then their copies."""
        # the images once for each copy, so that images and copies weigh the same
        num_copies = len(views) - 1
        repeated = np.concatenate([np.repeat(views[:1], max(1, num_copies), axis=0), views[1:]])
        logits = repeated.reshape(-1, views.shape[-1])
        repeated_labels = np.tile(labels, len(repeated))

        if self.method == "vector":
            weight, bias = fit_vector(logits, repeated_labels)
            return Calibration("vector", weight=tuple(weight), bias=tuple(bias))

        temperature = self.temperature(logits, repeated_labels)
        if num_copies and temperature < 1:
            temperature = max(temperature, min(1.0, self.softest_temperature(views[1:], labels)))
        return Calibration(temperature=temperature, offsets=self.offsets)

    def temperature(self, logits: np.ndarray, labels: np.ndarray) -> float:
        """Temperature of logits (N, K)."""
        offsets = None if self.offsets is None else np.array(self.offsets)
        return fit_temperature(logits, labels, offsets)

    def softest_temperature(self, views: np.ndarray, labels: np.ndarray) -> float:
        """Largest of the temperatures that are fitted to each of V views (V, N, K)."""
        return max(self.temperature(view, labels) for view in views)


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
