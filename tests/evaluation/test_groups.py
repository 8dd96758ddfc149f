"""Groups of people: their metrics, and differences against slow counts."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from ke2nt.data.sample import FaceSample, FaceSplit
from ke2nt.errors import DataError
from ke2nt.evaluation.groups import group_report
from ke2nt.evaluation.predictions import Predictions
from ke2nt.pages.phrases import describe_groups

CLASSES = ("neutral", "happiness", "anger")


def make(groups, labels, guesses):
    """Predictions and split; None in `groups` is a face without the attribute."""
    names = tuple(f"{i}.png" for i in range(len(labels)))
    samples = tuple(
        FaceSample(n, np.zeros((2, 2), np.uint8), y, attributes={} if g is None else {"sex": g})
        for n, y, g in zip(names, labels, groups, strict=True)
    )
    predictions = Predictions(
        probabilities=np.eye(3)[guesses] * 0.9 + 0.1 / 3,
        labels=np.array(labels),
        names=names,
        classes=CLASSES,
        data_classes=CLASSES,
        embeddings=None,
        failed=(),
    )
    return predictions, FaceSplit("made up", "val", CLASSES, samples)


@pytest.fixture
def random_case():
    rng = np.random.default_rng(4)
    groups = [("a", "b", "c", None)[i] for i in rng.integers(0, 4, 400)]
    labels = rng.integers(0, 3, 400).tolist()
    right = rng.random(400) < np.array([0.9 if g == "a" else 0.5 for g in groups])
    guesses = [y if ok else int(rng.integers(0, 3)) for y, ok in zip(labels, right, strict=True)]
    return groups, labels, guesses


def test_metrics_and_gaps_match_slow_counts(random_case):
    groups, labels, guesses = random_case
    report = group_report(*make(*random_case), "sex")
    rows = list(zip(groups, labels, guesses, strict=True))
    accuracy, uar = {}, {}
    rates = {k: ({}, {}) for k in range(3)}  # group → recall, group → false-alarm rate
    for name in ("a", "b", "c"):
        own = [(y, z) for g, y, z in rows if g == name]
        accuracy[name] = sum(y == z for y, z in own) / len(own)
        recalls = []
        for k in range(3):
            of_class = [z for y, z in own if y == k]
            others = [z for y, z in own if y != k]
            recalls.append(sum(z == k for z in of_class) / len(of_class))
            rates[k][0][name] = recalls[-1]
            rates[k][1][name] = sum(z == k for z in others) / len(others)
        uar[name] = sum(recalls) / 3
    assert [g.name for g in report.groups] == ["a", "b", "c"]
    for group in report.groups:
        assert group.n == groups.count(group.name)
        assert group.accuracy == pytest.approx(accuracy[group.name])
        assert group.uar == pytest.approx(uar[group.name])
        low, high = group.accuracy_interval
        assert low < group.accuracy < high
    assert report.unknown == groups.count(None)
    assert report.best == "a" == max(accuracy, key=accuracy.get)
    assert report.worst == min(accuracy, key=accuracy.get)
    assert report.gap == pytest.approx(max(accuracy.values()) - min(accuracy.values()))
    assert report.uar_gap == pytest.approx(max(uar.values()) - min(uar.values()))
    assert report.gap_interval[0] < report.gap < report.gap_interval[1]
    for k, name in enumerate(CLASSES):
        expected = max(
            abs(rate[x] - rate[y]) for rate in rates[k] for x, y in itertools.combinations("abc", 2)
        )
        assert report.odds[name] == pytest.approx(expected)
    words = describe_groups(report)
    assert "Best: a" in words
    assert f"{groups.count(None)} images are in no group" in words


def test_intervals_match_resampled_groups(random_case):
    """As wide as the binomial says, within a few percent."""
    report = group_report(*make(*random_case), "sex", bootstrap=4000)
    for group in report.groups:
        low, high = group.accuracy_interval
        expected = 2 * 1.96 * np.sqrt(group.accuracy * (1 - group.accuracy) / group.n)
        assert high - low == pytest.approx(expected, rel=0.12)
    again = group_report(*make(*random_case), "sex", bootstrap=4000)
    assert again == report
    without = group_report(*make(*random_case), "sex", bootstrap=0)
    assert without.gap_interval is None
    assert without.groups[0].accuracy_interval is None


def test_small_groups_are_shown_and_not_compared():
    groups = ["a"] * 30 + ["b"] * 25 + ["c"] * 3
    labels = [i % 3 for i in range(58)]
    guesses = labels[:55] + [(y + 1) % 3 for y in labels[55:]]
    report = group_report(*make(groups, labels, guesses), "sex")
    assert [g.compared for g in report.groups] == [True, True, False]
    assert report.groups[2].accuracy == 0
    assert report.gap == 0
    assert "few images: c" in describe_groups(report)
    assert set(report.odds.values()) == {0.0}


def test_one_group_has_no_gap():
    report = group_report(*make(["a"] * 30, [i % 3 for i in range(30)], [0] * 30), "sex")
    assert (report.gap, report.best, report.odds) == (None, None, {})
    assert "Fewer than two groups" in describe_groups(report)


def test_class_with_few_images_is_not_compared():
    groups = ["a"] * 24 + ["b"] * 20
    labels = [0, 1] * 10 + [2] * 4 + [0, 1, 2, 2] * 5
    report = group_report(*make(groups, labels, labels), "sex")
    assert set(report.odds) == {"neutral", "happiness"}


def test_unknown_attribute_is_an_error():
    case = make(["a"] * 5, [0] * 5, [0] * 5)
    with pytest.raises(DataError, match=r"'age'.*these faces have sex"):
        group_report(*case, "age")
    many = make([str(i) for i in range(40)], [0] * 40, [0] * 40)
    with pytest.raises(DataError, match="40 values"):
        group_report(*many, "sex")
