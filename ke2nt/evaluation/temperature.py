"""Temperature and vector scaling, fitted by the log-loss with Newton's method in float64."""

from __future__ import annotations

import numpy as np

from ke2nt.errors import DataError

__all__ = ["TEMPERATURES", "fit_temperature", "fit_vector", "softmax"]

TEMPERATURES = (0.01, 100.0)
_RIDGE = 1e-4
_STEPS = 200
_TOLERANCE = 1e-10


def softmax(logits: np.ndarray) -> np.ndarray:
    """(…, K) logits → probabilities over the last axis."""
    powers = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return powers / powers.sum(axis=-1, keepdims=True)


def fit_temperature(logits: np.ndarray, labels: np.ndarray) -> float:
    """The T that minimizes the log-loss of softmax(z / T), within `TEMPERATURES`.

    Guo et al., "On Calibration of Modern Neural Networks" (ICML 2017), section 4.2. The loss is
    convex in 1 / T, so that its one minimum is found, from any data, to about 10 digits. Where
    every answer is right, or the model is no better than chance, it lies at an end of the range.

    Args:
        logits: (N, K), N at least 1, K at least 2.
        labels: (N,) class indices.

    Raises:
        DataError: Shapes do not fit, or a value is not finite.
    """
    logits, labels = _checked(logits, labels)
    true = logits[np.arange(len(labels)), labels]
    low, high = 1 / TEMPERATURES[1], 1 / TEMPERATURES[0]
    if _slope(low, logits, true)[0] >= 0:
        return 1 / low
    if _slope(high, logits, true)[0] <= 0:
        return 1 / high
    beta = 1.0
    for _ in range(_STEPS):
        slope, curvature = _slope(beta, logits, true)
        low, high = (beta, high) if slope < 0 else (low, beta)
        step = beta - slope / curvature if curvature > 0 else low
        new = step if low < step < high else (low + high) / 2
        if abs(new - beta) <= _TOLERANCE * beta:
            break
        beta = new
    return float(1 / new)


def _slope(beta: float, logits: np.ndarray, true: np.ndarray) -> tuple[float, float]:
    """First and second derivative of the mean log-loss of softmax(βz) by β."""
    p = softmax(beta * logits)
    mean = (p * logits).sum(axis=1)
    variance = (p * (logits - mean[:, None]) ** 2).sum(axis=1)
    return float((mean - true).mean()), float(variance.mean())


def fit_vector(logits: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Weights w and biases b that minimize the log-loss of softmax(w ⊙ z + b).

    Guo et al. (ICML 2017), section 4.2, with a small ridge of 1e-4 towards the fitted temperature
    (w = 1 / T, b = 0), which makes the minimum unique: the loss alone does not see a common bias.

    Args:
        logits: (N, K).
        labels: (N,) class indices; every class needs a sample.

    Returns:
        w (K,) and b (K,), float64.

    Raises:
        DataError: Shapes do not fit, a value is not finite, or a class has no sample.
    """
    logits, labels = _checked(logits, labels)
    k = logits.shape[1]
    counts = np.bincount(labels, minlength=k)
    if not counts.all():
        raise DataError(
            "vector scaling needs samples of every class",
            found=f"none of class {', '.join(map(str, np.flatnonzero(counts == 0)))}",
            hint="Use temperature scaling.",
        )
    start = np.concatenate([np.full(k, 1 / fit_temperature(logits, labels)), np.zeros(k)])
    one_hot = np.eye(k)[labels]
    x, loss = start, _vector_loss(start, start, logits, labels)
    for _ in range(_STEPS):
        p = softmax(x[:k] * logits + x[k:])
        off = p - one_hot
        gradient = np.concatenate([(off * logits).mean(axis=0), off.mean(axis=0)])
        gradient += _RIDGE * (x - start)
        step = np.linalg.solve(_vector_hessian(p, logits), gradient)
        size, decrease = 1.0, float(gradient @ step)
        while (new := _vector_loss(x - size * step, start, logits, labels)) > (
            loss - 1e-4 * size * decrease
        ) and size > 1e-8:
            size /= 2
        if new >= loss:
            break
        x, loss = x - size * step, new
        if decrease < _TOLERANCE:
            break
    return x[:k], x[k:]


def _vector_loss(x: np.ndarray, start: np.ndarray, logits: np.ndarray, labels: np.ndarray) -> float:
    k = logits.shape[1]
    z = x[:k] * logits + x[k:]
    top = z.max(axis=1)
    total = top + np.log(np.exp(z - top[:, None]).sum(axis=1))
    ridge = 0.5 * _RIDGE * float(((x - start) ** 2).sum())
    return float((total - z[np.arange(len(labels)), labels]).mean()) + ridge


def _vector_hessian(p: np.ndarray, logits: np.ndarray) -> np.ndarray:
    """(2K, 2K) mean second derivatives by (w, b), ridge included."""
    n, k = p.shape
    weighted = np.concatenate([p * logits, p], axis=1)
    hessian = -weighted.T @ weighted / n
    diagonal = np.arange(k)
    hessian[diagonal, diagonal] += (p * logits**2).mean(axis=0)
    hessian[diagonal, k + diagonal] += (p * logits).mean(axis=0)
    hessian[k + diagonal, diagonal] += (p * logits).mean(axis=0)
    hessian[k + diagonal, k + diagonal] += p.mean(axis=0)
    return hessian + _RIDGE * np.eye(2 * k)


def _checked(logits: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    logits, labels = np.asarray(logits, np.float64), np.asarray(labels, np.int64)
    if logits.ndim != 2 or labels.shape != logits.shape[:1] or min(logits.shape) < 1:
        raise DataError(
            "logits and labels do not fit together",
            expected="(N, K) and (N,), N at least 1",
            found=f"{logits.shape} and {labels.shape}",
        )
    if not np.isfinite(logits).all() or labels.min() < 0 or labels.max() >= logits.shape[1]:
        raise DataError("logits must be finite, and labels indices of their columns")
    return logits, labels
