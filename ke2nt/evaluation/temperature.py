"""Temperature and vector scaling, fitted by minimizing the log-loss in float64."""

from __future__ import annotations

import numpy as np
from scipy import optimize, special

from ke2nt.errors import DataError

__all__ = ["TEMPERATURES", "check_logits", "fit_temperature", "fit_vector", "softmax"]

TEMPERATURES = (0.01, 100.0)
_RIDGE = 1e-4


def softmax(logits: np.ndarray) -> np.ndarray:
    """Turn logits (…, K) into probabilities over the last axis."""
    probabilities: np.ndarray = special.softmax(logits, axis=-1)
    return probabilities


def fit_temperature(
    logits: np.ndarray, labels: np.ndarray, offsets: np.ndarray | None = None
) -> float:
    """Find the T within `TEMPERATURES` that minimizes the log-loss of softmax(z / T + b).

    Guo et al., "On Calibration of Modern Neural Networks" (ICML 2017), section 4.2. The loss is
    convex in 1 / T, so it has one minimum, where its slope changes sign. If every answer is right,
    or the model is no better than chance, the minimum lies at an end of the range.

    Args:
        logits: (N, K), N at least 1, K at least 2.
        labels: (N,) class indices.
        offsets: (K,) fixed b, such as the log ratio of the data's class prior to that of the
            logits; None for 0.

    Raises:
        DataError: Shapes do not fit, or a value is not finite.
    """
    logits, labels = check_logits(logits, labels)
    fixed = np.zeros(logits.shape[1]) if offsets is None else np.asarray(offsets, np.float64)
    true_logits = logits[np.arange(len(labels)), labels]

    def slope(beta: float) -> float:
        """Derivative of the mean log-loss of softmax(βz + b) with respect to β."""
        mean_logits = (softmax(beta * logits + fixed) * logits).sum(axis=1)
        return float((mean_logits - true_logits).mean())

    # The slope rises with β = 1 / T. Without a change of sign, the best T is an end of the range.
    low, high = 1 / TEMPERATURES[1], 1 / TEMPERATURES[0]
    if slope(low) >= 0:
        return 1 / low
    if slope(high) <= 0:
        return 1 / high

    return float(1 / optimize.brentq(slope, low, high, xtol=1e-14, rtol=1e-13))


def fit_vector(logits: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Find weights w and biases b that minimize the log-loss of softmax(w ⊙ z + b).

    Guo et al. (ICML 2017), section 4.2, with a small ridge of 1e-4 towards the fitted temperature
    (w = 1 / T, b = 0). The ridge makes the minimum unique: the loss alone does not change when the
    same number is added to all biases.

    Args:
        logits: (N, K).
        labels: (N,) class indices; every class needs a sample.

    Returns:
        w (K,) and b (K,), float64.

    Raises:
        DataError: Shapes do not fit, a value is not finite, or a class has no sample.
    """
    logits, labels = check_logits(logits, labels)
    num_classes = logits.shape[1]

    counts = np.bincount(labels, minlength=num_classes)
    if not counts.all():
        raise DataError(
            "vector scaling needs samples of every class",
            found=f"none of class {', '.join(map(str, np.flatnonzero(counts == 0)))}",
            hint="Use temperature scaling.",
        )

    # (2K,) start at the fitted temperature
    start = np.concatenate(
        [np.full(num_classes, 1 / fit_temperature(logits, labels)), np.zeros(num_classes)]
    )
    objective = _VectorObjective(logits, labels, start)
    # The objective is convex. `result.success` is False if float64 cannot tell two losses apart.
    result = optimize.minimize(
        objective.loss,
        start,
        jac=objective.gradient,
        hess=objective.hessian,
        method="trust-exact",
        options={"gtol": 1e-9},
    )
    return result.x[:num_classes], result.x[num_classes:]


class _VectorObjective:
    """Mean log-loss of softmax(w ⊙ z + b) plus the ridge, for parameters (w, b) of size 2K."""

    def __init__(self, logits: np.ndarray, labels: np.ndarray, start: np.ndarray) -> None:
        self._logits = logits
        self._labels = labels
        self._start = start
        self._num_classes = logits.shape[1]
        self._one_hot = np.eye(self._num_classes)[labels]

    def _scale(self, parameters: np.ndarray) -> np.ndarray:
        k = self._num_classes
        scaled: np.ndarray = parameters[:k] * self._logits + parameters[k:]
        return scaled

    def loss(self, parameters: np.ndarray) -> float:
        scaled = self._scale(parameters)
        true = scaled[np.arange(len(self._labels)), self._labels]
        log_loss = float((special.logsumexp(scaled, axis=1) - true).mean())
        return log_loss + 0.5 * _RIDGE * float(((parameters - self._start) ** 2).sum())

    def gradient(self, parameters: np.ndarray) -> np.ndarray:
        # (N, K) derivative of each sample's loss with respect to its scaled logits
        error = softmax(self._scale(parameters)) - self._one_hot
        by_parameter = [(error * self._logits).mean(axis=0), error.mean(axis=0)]
        return np.concatenate(by_parameter) + _RIDGE * (parameters - self._start)

    def hessian(self, parameters: np.ndarray) -> np.ndarray:
        """(2K, 2K) second derivatives with respect to (w, b)."""
        p = softmax(self._scale(parameters))
        n, k = p.shape

        # Mean of diag(p) − p pᵀ over the samples, extended to w by the chain rule.
        weighted = np.concatenate([p * self._logits, p], axis=1)
        hessian: np.ndarray = -weighted.T @ weighted / n
        diagonal = np.arange(k)
        mixed = (p * self._logits).mean(axis=0)
        hessian[diagonal, diagonal] += (p * self._logits**2).mean(axis=0)
        hessian[diagonal, k + diagonal] += mixed
        hessian[k + diagonal, diagonal] += mixed
        hessian[k + diagonal, k + diagonal] += p.mean(axis=0)

        return hessian + _RIDGE * np.eye(2 * k)


def check_logits(logits: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return logits (N, K) and labels (N,) as float64 and int64.

    Raises:
        DataError: Shapes do not fit, or a value is not finite or no index of a class.
    """
    logits, labels = np.asarray(logits, np.float64), np.asarray(labels, np.int64)
    if logits.ndim != 2 or labels.shape != logits.shape[:1] or min(logits.shape) < 1:
        raise DataError(
            "logits and labels do not fit together",
            expected="(N, K) and (N,), N at least 1",
            found=f"{logits.shape} and {labels.shape}",
        )
    if not np.isfinite(logits).all() or labels.min() < 0 or labels.max() >= logits.shape[1]:
        raise DataError("logits must be finite, and labels must be indices of their columns")
    return logits, labels
