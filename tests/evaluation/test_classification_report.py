"""Metrics against scikit-learn, hand-computed values and slow loops."""

import json
import time

import numpy as np
import pytest
from sklearn import metrics as sk

from ke2nt.errors import DataError
from ke2nt.evaluation.metrics import classification_report
from ke2nt.evaluation.rates import bootstrap_confusions, confusion_matrix, rates

CLASSES = ("neutral", "happiness", "surprise", "anger")


def make(n=400, k=4, seed=0, sharpness=1.0):
    rng = np.random.default_rng(seed)
    labels = rng.choice(k, size=n, p=np.arange(k, 0, -1) / (k * (k + 1) / 2))
    logits = rng.normal(size=(n, k)) * 2 * sharpness
    logits[np.arange(n), labels] += 1.5
    p = np.exp(logits)
    return p / p.sum(1, keepdims=True), labels


def test_rates_equal_scikit_learn():
    p, y = make()
    report = classification_report(p, y, CLASSES, bootstrap=0)
    guess = p.argmax(1)
    assert report.n == 400
    assert report.accuracy == pytest.approx(sk.accuracy_score(y, guess), abs=1e-12)
    assert report.uar == pytest.approx(sk.balanced_accuracy_score(y, guess), abs=1e-12)
    assert report.macro_f1 == pytest.approx(sk.f1_score(y, guess, average="macro"), abs=1e-12)
    assert report.nll == pytest.approx(sk.log_loss(y, p, labels=range(4)), abs=1e-12)
    assert np.array_equal(report.confusion, sk.confusion_matrix(y, guess))
    precision, recall, f1, support = sk.precision_recall_fscore_support(y, guess)
    for k, metrics in enumerate(report.per_class):
        assert metrics.name == CLASSES[k]
        assert (metrics.precision, metrics.recall, metrics.f1, metrics.support) == pytest.approx(
            (precision[k], recall[k], f1[k], support[k]), abs=1e-12
        )
    brier = sum(sk.brier_score_loss(y == k, p[:, k]) for k in range(4))
    assert report.brier == pytest.approx(brier, abs=1e-12)


def test_hand_computed():
    p = np.array([[0.9, 0.1], [0.6, 0.4], [0.3, 0.7], [0.45, 0.55]])
    y = np.array([0, 0, 1, 0])
    report = classification_report(p, y, ("a", "b"), bins=10, bootstrap=0)
    assert report.confusion.tolist() == [[2, 1], [0, 1]]
    assert report.accuracy == 0.75
    assert report.uar == pytest.approx((2 / 3 + 1) / 2)
    assert report.macro_f1 == pytest.approx((4 / 5 + 2 / 3) / 2)
    # Confidences 0.9, 0.6, 0.7 (right) and 0.55 (wrong); 0.6 and 0.55 share the bin (0.5, 0.6].
    assert report.ece == pytest.approx((0.1 + 0.3 + 2 * abs(0.5 - 0.575)) / 4)
    assert report.brier == pytest.approx((0.02 + 0.32 + 0.18 + 2 * 0.55**2) / 4)


@pytest.mark.parametrize("bins", [1, 7, 15])
def test_calibration_error_equals_slow_loop(bins):
    p, y = make(seed=3, sharpness=2)
    report = classification_report(p, y, CLASSES, bins=bins, bootstrap=0)
    total = 0.0
    for b in range(bins):
        inside = [
            i
            for i in range(len(y))
            if b / bins < max(p[i]) <= (b + 1) / bins or (b == 0 and max(p[i]) == 0)
        ]
        if inside:
            confidence = np.mean([max(p[i]) for i in inside])
            accuracy = np.mean([np.argmax(p[i]) == y[i] for i in inside])
            total += len(inside) / len(y) * abs(confidence - accuracy)
    assert report.ece == pytest.approx(total, abs=1e-12)
    assert sum(b.count for b in report.calibration) == len(y)


def test_perfect_and_certain():
    report = classification_report(np.eye(4), np.arange(4), CLASSES)
    assert report.accuracy == report.uar == report.macro_f1 == 1
    assert report.ece == report.brier == report.nll == 0
    assert report.intervals["accuracy"] == (1, 1)
    assert report.calibration[-1].count == 4


def test_classes_without_samples_are_null_and_left_out_of_means():
    p = np.array([[0.8, 0.1, 0.1], [0.1, 0.1, 0.8], [0.7, 0.2, 0.1]])
    y = np.array([0, 0, 1])
    report = classification_report(p, y, ("a", "b", "c"), bootstrap=200)
    a, b, c = report.per_class
    assert c.support == 0
    assert c.precision is c.recall is c.f1 is c.recall_interval is None
    assert (b.precision, b.recall, b.f1) == (None, 0, 0)
    assert a.recall == 0.5
    assert report.uar == 0.25
    assert report.macro_f1 == pytest.approx((2 * 1 / (2 + 2)) / 2)
    text = json.dumps(report.to_dict(), allow_nan=False)
    assert json.loads(text)["per_class"][2]["recall"] is None


def test_bootstrap_matches_resampling_of_samples():
    """Same spread as drawing sample indices one resample at a time."""
    p, y = make(n=300, seed=5)
    report = classification_report(p, y, CLASSES, bootstrap=4000, seed=1)
    guess = p.argmax(1)
    rng = np.random.default_rng(99)
    slow = {"accuracy": [], "uar": [], "macro_f1": []}
    recalls = []
    for _ in range(800):
        i = rng.integers(0, len(y), len(y))
        slow["accuracy"].append(np.mean(y[i] == guess[i]))
        recall = sk.recall_score(y[i], guess[i], average=None)
        recalls.append(recall)
        slow["uar"].append(recall.mean())
        slow["macro_f1"].append(rates(confusion_matrix(y[i], guess[i], 4)).macro_f1)
    for name, values in slow.items():
        assert report.intervals[name] == pytest.approx(np.percentile(values, [2.5, 97.5]), abs=0.01)
    for k, metrics in enumerate(report.per_class):
        expected = np.percentile(np.array(recalls)[:, k], [2.5, 97.5])
        assert metrics.recall_interval == pytest.approx(expected, abs=0.03)


def test_bootstrap_draws_keep_the_number_of_samples_and_are_seeded():
    confusion = np.array([[5, 1], [0, 4]])
    first = bootstrap_confusions(confusion, 50, 7)
    assert (first.sum(axis=(1, 2)) == 10).all()
    assert (first[:, 1, 0] == 0).all()
    assert np.array_equal(first, bootstrap_confusions(confusion, 50, 7))
    assert not np.array_equal(first, bootstrap_confusions(confusion, 50, 8))


def test_bootstrap_is_fast():
    p, y = make(n=3199, k=8)
    start = time.perf_counter()
    classification_report(p, y, [f"c{k}" for k in range(8)], bootstrap=1000)
    assert time.perf_counter() - start < 1


def test_no_bootstrap_means_no_intervals():
    report = classification_report(*make(), CLASSES, bootstrap=0)
    assert report.intervals == {}
    assert report.per_class[0].recall_interval is None


@pytest.mark.parametrize(
    ("p", "y", "message"),
    [
        (np.ones((2, 3)) / 3, [0, 1], "do not fit"),
        (np.zeros((0, 2)), [], "do not fit"),
        (np.array([[0.5, 0.6]]), [0], "sum to 1"),
        (np.array([[np.nan, 1]]), [0], "finite"),
        (np.array([[1.5, -0.5]]), [0], "negative"),
        (np.array([[0.5, 0.5]]), [2], "outside the label set"),
        (np.array([[0.5, 0.5]]), [-1], "outside the label set"),
    ],
)
def test_bad_input_is_an_error(p, y, message):
    with pytest.raises(DataError, match=message):
        classification_report(p, np.array(y, dtype=np.int64), ("a", "b"))
