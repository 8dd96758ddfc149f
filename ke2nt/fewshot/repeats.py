"""Means over repeated draws, with deviations over the draws and intervals over the images."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ke2nt.evaluation.metrics import Interval, percentile_interval
from ke2nt.evaluation.rates import bootstrap_confusions

__all__ = ["bootstrap_mean"]


def bootstrap_mean(
    correct: Sequence[np.ndarray], labels: np.ndarray, *, resamples: int, seed: int
) -> dict[str, Interval]:
    """Compute 95 % bootstrap intervals of accuracy and UAR, averaged over repeats.

    Images are drawn, each with its outcomes in all repeats: the repeats are judged on the same
    images, so they do not make the interval narrower.

    Args:
        correct: bool (N,) of each of S repeats, whether its prediction is right.
        labels: (N,) class indices.
        resamples: Number of resamples; 0 for no intervals.
        seed: Seed of the resamples.

    Returns:
        Intervals of "accuracy" and "uar".
    """
    if not resamples:
        return {}

    # images of one class with the same number of right repeats are interchangeable: (K, S + 1)
    right = np.sum(correct, axis=0)
    classes, width = int(labels.max()) + 1, len(correct) + 1
    cells = np.bincount(labels * width + right, minlength=classes * width)
    drawn = bootstrap_confusions(cells.reshape(classes, width), resamples, seed)

    # (resamples, K) images, and their right answers averaged over the repeats
    support = drawn.sum(axis=-1)
    hits = drawn @ (np.arange(width) / len(correct))
    recall = np.divide(hits, support, out=np.full(hits.shape, np.nan), where=support > 0)
    intervals = {
        "accuracy": percentile_interval(hits.sum(axis=-1) / support.sum(axis=-1)),
        "uar": percentile_interval(np.nanmean(recall, axis=-1)),
    }
    return {name: pair for name, pair in intervals.items() if pair is not None}
