"""Thresholds by predicted class, against counts by hand; temperatures under a class prior."""

from __future__ import annotations

import numpy as np
import pytest

from ke2nt.errors import DataError
from ke2nt.evaluation.class_thresholds import add_class_thresholds
from ke2nt.evaluation.fit_calibration import add_threshold, cross_fit_logits, fit_calibration
from ke2nt.evaluation.temperature import fit_temperature, softmax
from ke2nt.models.calibration import Calibration

CLASSES = ("often", "rare", "never")


@pytest.fixture(scope="module")
def scores():
    """Two hundred confident faces of one class, twenty hesitant ones of another."""
    rng = np.random.default_rng(0)
    best = np.concatenate([rng.uniform(0.6, 1.0, 200), rng.uniform(0.4, 0.5, 20)])
    predicted = np.repeat([0, 1], [200, 20])
    probabilities = np.empty((220, 3))
    probabilities[:] = ((1 - best) / 2)[:, None]
    probabilities[np.arange(220), predicted] = best
    # wrong where the confidence is lowest
    labels = predicted.copy()
    labels[np.argsort(best[:200])[:40]] = 2
    labels[200 + np.argsort(best[200:])[:5]] = 2
    return probabilities, labels


def test_each_class_is_answered_as_often_as_asked(scores):
    probabilities, labels = scores
    one = add_threshold(Calibration(), probabilities, labels, coverage=0.9)
    assert (probabilities[200:].max(axis=1) < one.min_confidence).mean() > 0.9
    found = add_class_thresholds(one, probabilities, labels, CLASSES)
    by_class = found.threshold["by_class"]
    assert (by_class["often"]["n"], by_class["often"]["coverage"]) == (200, 0.9)
    assert (by_class["rare"]["n"], by_class["rare"]["coverage"]) == (20, 0.9)
    assert by_class["rare"]["risk"] == pytest.approx(3 / 18)
    assert found.threshold["coverage"] == pytest.approx(0.9)
    assert found.threshold["risk"] == pytest.approx((20 + 3) / 198)
    # a class that was never predicted has the common threshold
    assert found.thresholds(3)[2] == one.min_confidence


def test_each_class_keeps_the_risk_or_is_answered_as_often_as_all(scores):
    probabilities, labels = scores
    one = add_threshold(Calibration(), probabilities, labels, risk=0.05)
    found = add_class_thresholds(one, probabilities, labels, CLASSES)
    often, rare, never = found.threshold["by_class"].values()
    assert often["risk"] <= 0.05
    assert rare["risk"] <= 0.05
    assert rare["coverage"] == 15 / 20
    assert (often["met"], rare["met"], never["met"]) == (True, True, False)

    few = np.concatenate([np.arange(200), np.arange(200, 205)])
    found = add_class_thresholds(one, probabilities[few], labels[few], CLASSES)
    rare = found.threshold["by_class"]["rare"]
    assert not rare["met"]
    assert rare["coverage"] >= one.threshold["coverage"]


def test_a_confidence_is_no_target(scores):
    one = add_threshold(Calibration(), *scores, confidence=0.5)
    with pytest.raises(DataError, match="need a target"):
        add_class_thresholds(one, *scores, CLASSES)


def test_temperature_under_a_prior_is_that_of_the_likelihoods():
    """Logits twice too large that carry even shares, of data with natural ones."""
    rng = np.random.default_rng(1)
    shares = np.array([0.7, 0.2, 0.1])
    z = rng.normal(size=(20_000, 3))
    offsets = np.log(shares * 3)
    sums = softmax(z + offsets).cumsum(axis=1)
    labels = (rng.random((len(z), 1)) > sums[:, :2]).sum(axis=1)
    logits = 2 * z
    assert fit_temperature(logits, labels, offsets) == pytest.approx(2.0, rel=0.05)
    assert abs(fit_temperature(logits, labels) - 2) > 0.2

    calibration = fit_calibration(logits, labels, offsets=offsets, folds=2)
    assert calibration.offsets == tuple(offsets)
    assert calibration.metrics["ece_after"] < 0.01 < calibration.metrics["ece_before"]
    plain = (logits.argmax(axis=1) == labels).mean()
    assert calibration.metrics["accuracy_before"] > plain + 0.02
    held_out = cross_fit_logits(logits, labels, offsets=offsets, folds=2)
    np.testing.assert_allclose(
        held_out, logits / calibration.temperature + offsets, atol=0.1, rtol=0.05
    )
