"""Temperature and vector scaling against a grid search and a slow loss; curves against loops."""

from __future__ import annotations

import math

import numpy as np
import pytest

from ke2nt.errors import DataError
from ke2nt.evaluation.coverage import (
    coverage_risk,
    threshold_for_coverage,
    threshold_for_risk,
)
from ke2nt.evaluation.fit_calibration import add_threshold, fit_calibration
from ke2nt.evaluation.temperature import TEMPERATURES, fit_temperature, fit_vector, softmax


def slow_loss(logits, labels, weight, bias):
    total = 0.0
    for row, label in zip(logits, labels, strict=True):
        z = [w * v + b for w, v, b in zip(weight, row, bias, strict=True)]
        top = max(z)
        total += top + math.log(sum(math.exp(v - top) for v in z)) - z[label]
    return total / len(labels)


def overconfident(n=400, k=4, factor=3.0, seed=0):
    """Labels drawn from softmax(z); the logits are given `factor` times too large."""
    rng = np.random.default_rng(seed)
    z = rng.normal(size=(n, k)) * 1.5
    labels = np.array([rng.choice(k, p=row) for row in softmax(z)])
    return factor * z, labels


@pytest.mark.parametrize("factor", [0.05, 0.5, 3.0, 20.0])
def test_temperature_matches_a_grid_search(factor):
    logits, labels = overconfident(120, factor=factor)
    fitted = fit_temperature(logits, labels)

    def loss(t):
        return slow_loss(logits, labels, [1 / t] * 4, [0] * 4)

    grid = np.exp(np.linspace(math.log(factor) - 1, math.log(factor) + 1, 101))
    best = min(grid, key=loss)
    fine = min(np.linspace(best * 0.97, best * 1.03, 61), key=loss)
    assert fitted == pytest.approx(fine, rel=2e-3)
    assert loss(fitted) <= loss(fine) + 1e-12


def test_known_temperature_is_found():
    logits, labels = overconfident(40_000, factor=3.0)
    assert fit_temperature(logits, labels) == pytest.approx(3.0, rel=0.02)
    assert fit_temperature(logits + 1e4, labels) == pytest.approx(3.0, rel=0.02)


def test_scaling_the_logits_scales_the_temperature():
    logits, labels = overconfident()
    assert fit_temperature(logits * 7, labels) == pytest.approx(7 * fit_temperature(logits, labels))


def test_temperature_at_the_ends_of_the_range():
    logits = np.eye(3)
    assert fit_temperature(logits, np.arange(3)) == pytest.approx(TEMPERATURES[0])
    assert fit_temperature(logits, np.array([1, 2, 0])) == pytest.approx(TEMPERATURES[1])
    assert fit_temperature(np.zeros((3, 2)), np.zeros(3, int)) == pytest.approx(TEMPERATURES[1])


def test_vector_scaling_is_a_minimum_of_the_slow_loss():
    logits, labels = overconfident(150, k=3)
    start = 1 / fit_temperature(logits, labels)
    weight, bias = fit_vector(logits, labels)

    def loss(w, b):
        ridge = sum((x - start) ** 2 for x in w) + sum(x**2 for x in b)
        return slow_loss(logits, labels, w, b) + 0.5e-4 * ridge

    least = loss(weight, bias)
    assert least < loss([start] * 3, [0] * 3)
    for which in (weight, bias):
        for index in range(3):
            for move in (-1e-3, 1e-3):
                which[index] += move
                assert loss(weight, bias) > least
                which[index] -= move


def test_vector_scaling_corrects_a_biased_class():
    logits, labels = overconfident(20_000, k=3, factor=1.0)
    logits[:, 1] = 2 * logits[:, 1] + 1.5
    weight, bias = fit_vector(logits, labels)
    assert weight == pytest.approx([1, 0.5, 1], abs=0.05)
    assert bias - bias.mean() == pytest.approx([0.25, -0.5, 0.25], abs=0.06)
    with pytest.raises(DataError, match=r"every class.*class 3.*temperature"):
        fit_vector(np.pad(logits, ((0, 0), (0, 1))), labels)


@pytest.mark.parametrize(
    ("logits", "labels"),
    [
        (np.zeros(3), np.zeros(3, int)),
        (np.zeros((0, 2)), np.zeros(0, int)),
        (np.zeros((3, 2)), np.zeros(2, int)),
        (np.full((2, 2), np.nan), np.zeros(2, int)),
        (np.zeros((2, 2)), np.array([0, 2])),
        (np.zeros((2, 2)), np.array([0, -1])),
    ],
)
def test_invalid_arrays_are_refused(logits, labels):
    for fit in (fit_temperature, fit_vector):
        with pytest.raises(DataError):
            fit(logits, labels)


def test_calibration_lowers_ece_and_keeps_predictions():
    logits, labels = overconfident(2000)
    calibration = fit_calibration(logits, labels, fitted_on={"dataset": "made up"})
    metrics = calibration.metrics
    assert metrics["ece_after"] < 0.3 * metrics["ece_before"]
    assert metrics["nll_after"] < metrics["nll_before"]
    assert metrics["accuracy_after"] == metrics["accuracy_before"]
    assert (metrics["n"], metrics["folds"]) == (2000, 5)
    assert calibration.fitted_on == {"dataset": "made up"}
    assert fit_calibration(logits, labels, fitted_on={"dataset": "made up"}) == calibration


def test_metrics_after_come_from_held_out_samples():
    """Labels that are noise: the fit to its own samples looks better than it is."""
    rng = np.random.default_rng(0)
    logits, labels = rng.normal(size=(60, 6)), np.arange(60) % 6
    metrics = fit_calibration(logits, labels, method="vector").metrics
    assert metrics["nll_after"] > math.log(6) > metrics["nll_after_same_data"]


def test_folds_by_hand():
    """As many folds as samples: the metric after is the mean over leave-one-out fits."""
    logits = np.array([[2.0, 0.0], [0.0, 1.0], [1.0, 2.0], [3.0, 1.0], [0.5, 0.0], [0.0, 2.0]])
    labels = np.array([0, 0, 1, 1, 0, 1])
    calibration = fit_calibration(logits, labels, folds=6)
    losses = []
    for i in range(6):
        rest = [j for j in range(6) if j != i]
        t = fit_temperature(logits[rest], labels[rest])
        losses.append(slow_loss(logits[[i]], labels[[i]], [1 / t] * 2, [0, 0]))
    assert calibration.metrics["nll_after"] == pytest.approx(np.mean(losses))
    for folds in (1, 7):
        with pytest.raises(DataError, match="folds"):
            fit_calibration(logits, labels, folds=folds)


def test_degraded_copies_share_the_fit_and_the_fold():
    """Leave-one-out with two copies: an image and its copies are held out together."""
    rng = np.random.default_rng(4)
    logits, labels = rng.normal(size=(6, 3)) * 30, np.array([0, 1, 2, 0, 1, 2])
    copies = rng.normal(size=(2, 6, 3)) * 60
    fitted = fit_calibration(logits, labels, degraded=copies, folds=6)
    assert fitted.temperature == pytest.approx(
        fit_temperature(np.concatenate([logits, logits, *copies]), np.tile(labels, 4))
    )

    # of the images, and of the copies
    losses, copy_losses = [], []
    for i in range(6):
        rest = [j for j in range(6) if j != i]
        rows = [logits[rest], logits[rest], *copies[:, rest]]
        t = fit_temperature(np.concatenate(rows), np.tile(labels[rest], 4))
        losses.append(slow_loss(logits[[i]], labels[[i]], [1 / t] * 3, [0] * 3))
        copy_losses += [slow_loss(c[[i]], labels[[i]], [1 / t] * 3, [0] * 3) for c in copies]
    assert fitted.metrics["nll_after"] == pytest.approx(np.mean(losses))
    assert fitted.metrics["degraded_nll_after"] == pytest.approx(np.mean(copy_losses))
    with pytest.raises(DataError, match="copies"):
        fit_calibration(logits, labels, degraded=copies[:, :5])


def test_temperature_does_not_sharpen_what_degraded_copies_cannot_bear():
    """Images that are underconfident, with copies that are not, or a little less."""
    logits, labels = overconfident(3000)
    home = fit_temperature(logits, labels)

    def fit(*temperatures):
        copies = np.stack([logits * t / home for t in temperatures])
        return fit_calibration(logits / home * 0.5, labels, degraded=copies)

    # all copies are underconfident, one is not, one is overconfident
    assert 0.5 < fit(0.5, 0.6).temperature == pytest.approx(0.6, abs=0.05)
    assert fit(0.5, 0.8).temperature == pytest.approx(0.8)
    assert fit(0.6, 1.5).temperature == 1.0
    metrics = fit(0.6, 1.5).metrics
    assert metrics["temperature_images"] == pytest.approx(0.5)
    assert metrics["temperature_degraded"] == pytest.approx(1.5)

    # softening is not limited
    soft = fit_calibration(logits / home * 2, labels, degraded=logits[None] / home * 4)
    assert 2 < soft.temperature < 4


def slow_curve(probabilities, labels):
    rows = []
    for threshold in sorted({max(row) for row in probabilities.tolist()}, reverse=True):
        given = [i for i, row in enumerate(probabilities) if max(row) >= threshold]
        wrong = sum(int(np.argmax(probabilities[i])) != labels[i] for i in given)
        rows.append((threshold, len(given) / len(labels), wrong / len(given)))
    return rows


def some_probabilities(n=80, seed=0):
    logits, labels = overconfident(n, seed=seed)
    return np.round(softmax(logits), 1) + 1e-9, labels  # rounded: many ties


def test_curve_matches_a_slow_loop():
    probabilities, labels = some_probabilities()
    curve, slow = coverage_risk(probabilities, labels), slow_curve(probabilities, labels)
    assert np.allclose(np.stack([curve.thresholds, curve.coverage, curve.risk], 1), slow)
    area, before = 0.0, 0.0
    for _, coverage, risk in slow:
        area, before = area + (coverage - before) * risk, coverage
    assert curve.area == pytest.approx(area)
    assert curve.at(0.0) == (1.0, pytest.approx(slow[-1][2]))
    assert curve.at(1.01) == (0.0, None)


@pytest.mark.parametrize("target", [0.0, 0.05, 0.1, 0.2, 0.9])
def test_threshold_for_risk_answers_most_faces(target):
    probabilities, labels = some_probabilities()
    curve, slow = coverage_risk(probabilities, labels), slow_curve(probabilities, labels)
    possible = [coverage for _, coverage, risk in slow if risk <= target]
    if not possible:
        with pytest.raises(DataError, match="least risk"):
            threshold_for_risk(curve, target)
        return
    coverage, risk = curve.at(threshold_for_risk(curve, target))
    assert coverage == pytest.approx(max(possible))
    assert risk <= target


@pytest.mark.parametrize("target", [0.01, 0.5, 0.8, 1.0])
def test_threshold_for_coverage_is_the_highest(target):
    probabilities, labels = some_probabilities()
    curve, slow = coverage_risk(probabilities, labels), slow_curve(probabilities, labels)
    coverage, _ = curve.at(threshold_for_coverage(curve, target))
    assert coverage == pytest.approx(min(c for _, c, _ in slow if c >= target))


def test_targets_out_of_range_are_refused():
    curve = coverage_risk(*some_probabilities())
    for coverage in (0, 1.1, math.nan):
        with pytest.raises(DataError, match="out of range"):
            threshold_for_coverage(curve, coverage)
    for risk in (-0.1, 1, math.nan):
        with pytest.raises(DataError, match="out of range"):
            threshold_for_risk(curve, risk)
    with pytest.raises(DataError, match="fit together"):
        coverage_risk(np.zeros((0, 3)), np.zeros(0, int))


def test_threshold_is_stored_with_its_target():
    logits, labels = overconfident()
    plain = fit_calibration(logits, labels)
    for target, value in (("risk", 0.2), ("coverage", 0.7), ("confidence", 0.6)):
        p = softmax(logits / plain.temperature)
        chosen = add_threshold(plain, p, labels, **{target: value})
        given = p.max(axis=1) >= chosen.min_confidence
        assert chosen.threshold["target"] == target
        assert chosen.threshold["coverage"] == pytest.approx(given.mean())
        assert chosen.threshold["risk"] == pytest.approx((p.argmax(axis=1) != labels)[given].mean())
        assert chosen.temperature == plain.temperature
    assert chosen.min_confidence == 0.6
    for targets in ({}, {"risk": 0.1, "coverage": 0.5}):
        with pytest.raises(DataError, match="one target"):
            add_threshold(plain, p, labels, **targets)
