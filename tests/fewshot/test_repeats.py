"""Intervals over images for means over repeats."""

from __future__ import annotations

import numpy as np
import pytest

from ke2nt.evaluation.metrics import classification_report
from ke2nt.fewshot.repeats import bootstrap_mean


def outcomes(count=300, repeats=3, seed=0):
    rng = np.random.default_rng(seed)
    labels = rng.choice(3, count, p=(0.6, 0.3, 0.1))
    easy = rng.random(count)
    right = [easy + 0.2 * rng.normal(size=count) > 0.3 for _ in range(repeats)]
    return right, labels


def test_intervals_are_those_of_images_drawn_one_by_one():
    right, labels = outcomes()
    found = bootstrap_mean(right, labels, resamples=4000, seed=1)
    rng, values = np.random.default_rng(2), {"accuracy": [], "uar": []}
    share = np.mean(right, axis=0)
    for _ in range(4000):
        rows = rng.integers(0, len(labels), len(labels))
        drawn, known = share[rows], labels[rows]
        values["accuracy"].append(drawn.mean())
        values["uar"].append(np.mean([drawn[known == k].mean() for k in range(3)]))
    for name, samples in values.items():
        np.testing.assert_allclose(found[name], np.percentile(samples, [2.5, 97.5]), atol=0.006)


def test_one_repeat_has_the_interval_of_its_report():
    (right,), labels = outcomes(repeats=1)
    probabilities = np.eye(3)[np.where(right, labels, (labels + 1) % 3)]
    report = classification_report(probabilities, labels, "abc", bootstrap=3000, seed=5)
    found = bootstrap_mean([right], labels, resamples=3000, seed=6)
    for name in ("accuracy", "uar"):
        np.testing.assert_allclose(found[name], report.intervals[name], atol=0.006)


def test_repeats_on_the_same_images_do_not_make_it_narrower():
    (right,), labels = outcomes(repeats=1)
    once, thrice = (
        bootstrap_mean([right] * repeats, labels, resamples=2000, seed=0)["accuracy"]
        for repeats in (1, 3)
    )
    assert thrice[1] - thrice[0] == pytest.approx(once[1] - once[0], rel=0.1)
    assert bootstrap_mean([right], labels, resamples=0, seed=0) == {}
