"""Rates of a confusion matrix, and their spread under resampling."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

__all__ = ["Rates", "bootstrap_confusions", "confusion_matrix", "rates"]


class Rates(NamedTuple):
    """Rates in [0, 1]; NaN where a rate is undefined.

    Attributes:
        accuracy: (…), share of correct predictions (WAR).
        uar: (…), mean recall over the classes that have samples.
        macro_f1: (…), mean F1 over the classes that have samples.
        precision: (…, K), NaN for a class without samples or never predicted.
        recall: (…, K), NaN for a class without samples.
        f1: (…, K), NaN for a class without samples.
    """

    accuracy: np.ndarray
    uar: np.ndarray
    macro_f1: np.ndarray
    precision: np.ndarray
    recall: np.ndarray
    f1: np.ndarray


def confusion_matrix(labels: np.ndarray, predicted: np.ndarray, num_classes: int) -> np.ndarray:
    """Count pairs of classes, int64 (K, K): rows are true classes, columns predicted ones."""
    cells = np.bincount(labels * num_classes + predicted, minlength=num_classes**2)
    return cells.reshape(num_classes, num_classes)


def rates(confusion: np.ndarray) -> Rates:
    """Compute the rates of a confusion matrix (K, K), or of a stack (…, K, K).

    Every matrix needs at least one sample.
    """
    hits = np.diagonal(confusion, axis1=-2, axis2=-1).astype(np.float64)
    support = confusion.sum(axis=-1)
    predicted = confusion.sum(axis=-2)

    # Classes without samples have no recall, and do not count in the means.
    present = support > 0
    recall = _divide(hits, support, present)
    f1 = _divide(2 * hits, support + predicted, present)

    return Rates(
        accuracy=hits.sum(axis=-1) / support.sum(axis=-1),
        uar=np.nanmean(recall, axis=-1),
        macro_f1=np.nanmean(f1, axis=-1),
        precision=_divide(hits, predicted, present & (predicted > 0)),
        recall=recall,
        f1=f1,
    )


def _divide(numerator: np.ndarray, denominator: np.ndarray, defined: np.ndarray) -> np.ndarray:
    """Divide where `defined` holds; NaN elsewhere."""
    nan = np.full(numerator.shape, np.nan)
    return np.divide(numerator, denominator, out=nan, where=defined)


def bootstrap_confusions(confusion: np.ndarray, resamples: int, seed: int) -> np.ndarray:
    """Draw confusion matrices of samples drawn with replacement, (resamples, K, K).

    N draws with replacement from N samples fill the cells of the matrix with multinomial counts,
    so each matrix is drawn at once, without drawing single samples.
    """
    total = int(confusion.sum())
    generator = np.random.default_rng(seed)
    counts = generator.multinomial(total, confusion.ravel() / total, resamples)
    return counts.reshape(resamples, *confusion.shape)
