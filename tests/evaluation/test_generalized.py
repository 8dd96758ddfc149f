"""Seen and unseen classes, against slow loops."""

from __future__ import annotations

import numpy as np
import pytest

from ke2nt.evaluation.generalized import compute_generalized_metrics
from ke2nt.evaluation.metrics import classification_report
from ke2nt.pages.phrases import describe_generalized

CLASSES = ("neutral", "happiness", "anger", "fear", "contempt")
SEEN = ("happiness", "neutral", "anger")


def report(labels, guesses, classes=CLASSES):
    probabilities = np.full((len(labels), len(classes)), 0.1 / (len(classes) - 1))
    probabilities[np.arange(len(labels)), guesses] = 0.9
    return classification_report(probabilities, np.array(labels), classes, bootstrap=0)


def slow(labels, guesses, chosen):
    """Accuracy and mean class recall over some classes, by counting."""
    rows = [(a, b) for a, b in zip(labels, guesses, strict=True) if a in chosen]
    accuracy = sum(a == b for a, b in rows) / len(rows)
    recalls = []
    for k in sorted({a for a, _ in rows}):
        own = [b for a, b in rows if a == k]
        recalls.append(sum(b == k for b in own) / len(own))
    return accuracy, sum(recalls) / len(recalls)


@pytest.mark.parametrize("seed", range(5))
def test_generalized_metrics_match_counting(seed):
    rng = np.random.default_rng(seed)
    labels = rng.choice(5, 80, p=[0.4, 0.2, 0.2, 0.15, 0.05])
    guesses = np.where(rng.random(80) < 0.6, labels, rng.integers(0, 5, 80))
    metrics = compute_generalized_metrics(report(labels, guesses), SEEN, resamples=0)
    seen, unseen = slow(labels, guesses, {0, 1, 2}), slow(labels, guesses, {3, 4})
    assert (metrics.seen.accuracy, metrics.seen.recall) == pytest.approx(seen)
    assert (metrics.unseen.accuracy, metrics.unseen.recall) == pytest.approx(unseen)
    for name, s, u in zip(("accuracy", "recall"), seen, unseen, strict=True):
        harmonic = 2 / (1 / s + 1 / u) if s and u else 0.0
        assert getattr(metrics.harmonic, name) == pytest.approx(harmonic)
    assert metrics.seen.accuracy_interval is None
    assert metrics.seen_classes == ("neutral", "happiness", "anger")


def test_accuracy_weighs_images_and_recall_weighs_classes():
    labels = [0] * 9 + [1] + [3] * 4
    guesses = [0] * 9 + [0] + [3, 3, 0, 0]
    metrics = compute_generalized_metrics(report(labels, guesses), SEEN, resamples=0)
    assert (metrics.seen.accuracy, metrics.seen.recall) == (0.9, 0.5)
    assert metrics.unseen.accuracy == 0.5
    assert metrics.harmonic.accuracy == pytest.approx(2 * 0.9 * 0.5 / 1.4)
    assert metrics.harmonic.recall == 0.5


def test_no_unseen_hits_give_a_harmonic_mean_of_zero():
    metrics = compute_generalized_metrics(report([0, 1, 3], [0, 1, 0]), SEEN, resamples=20)
    assert metrics.harmonic.accuracy == metrics.harmonic.recall == 0.0
    assert metrics.unseen.accuracy_interval == (0.0, 0.0)


@pytest.mark.parametrize("labels", [[0, 1, 2], [3, 4, 3]])
def test_no_metrics_without_images_of_both_kinds(labels):
    assert compute_generalized_metrics(report(labels, labels), SEEN) is None


def test_intervals_match_resampled_images():
    rng = np.random.default_rng(1)
    labels = rng.integers(0, 5, 300)
    guesses = np.where(rng.random(300) < 0.6, labels, rng.integers(0, 5, 300))
    metrics = compute_generalized_metrics(report(labels, guesses), SEEN, resamples=2000, seed=3)
    draws = []
    for _ in range(2000):
        rows = rng.integers(0, 300, 300)
        (a, _), (b, _) = (slow(labels[rows], guesses[rows], k) for k in ({0, 1, 2}, {3, 4}))
        draws.append((a, b, 2 * a * b / (a + b)))
    low, high = np.percentile(draws, [2.5, 97.5], axis=0)
    parts = (metrics.seen, metrics.unseen, metrics.harmonic)
    for part, below, above in zip(parts, low, high, strict=True):
        assert part.accuracy_interval == pytest.approx((below, above), abs=0.015)
    again = compute_generalized_metrics(report(labels, guesses), SEEN, resamples=2000, seed=3)
    assert again == metrics


def test_description_for_the_page():
    text = describe_generalized(
        compute_generalized_metrics(report([0, 1, 3, 3], [0, 1, 3, 0]), SEEN)
    )
    assert "not on fear" in text
    assert "50.0 % over the unseen" in text
    assert "harmonic mean 66.7 %" in text
