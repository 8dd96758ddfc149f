"""Assessing an adaptation without labels: metrics, domain distance, trust."""

from __future__ import annotations

import math

import numpy as np
import pytest

from ke2nt.adapt.adaptation_page import build_change_tables
from ke2nt.adapt.label_free_metrics import (
    LabelFreeMetrics,
    compute_domain_distance,
    compute_label_free_metrics,
    estimate_accuracy,
)
from ke2nt.adapt.prediction_changes import PredictionChanges, TargetSummary
from ke2nt.adapt.trust import assess_trust


def test_label_free_metrics_match_plain_sums():
    rows = np.array([[0.7, 0.2, 0.1], [0.1, 0.8, 0.1], [0.6, 0.3, 0.1], [0.2, 0.2, 0.6]])
    result = compute_label_free_metrics(rows)
    assert result.confidence == pytest.approx((0.7 + 0.8 + 0.6 + 0.6) / 4)
    assert result.shares == (0.5, 0.25, 0.25)
    mean = [sum(row[k] for row in rows) / 4 for k in range(3)]
    own = sum(-p * math.log(p) for row in rows for p in row) / 4
    assert result.information == pytest.approx(-sum(p * math.log(p) for p in mean) - own)
    spread = -sum(p * math.log(p) for p in (0.5, 0.25, 0.25))
    assert result.effective_classes == pytest.approx(math.exp(spread))
    assert not result.collapsed


def test_information_is_zero_after_a_collapse_and_ln_k_for_confident_balanced_predictions():
    one = compute_label_free_metrics(np.tile([[1.0, 0, 0]], (6, 1)))
    assert one.information == pytest.approx(0)
    assert one.collapsed
    assert compute_label_free_metrics(np.eye(3)).information == pytest.approx(math.log(3))
    assert not compute_label_free_metrics(
        np.ones((4, 1))
    ).collapsed  # one class alone cannot collapse


def test_domain_distance():
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(2, 200, 5))
    assert compute_domain_distance(a, b) < 0.5
    assert compute_domain_distance(a, b + 8) == 2
    assert compute_domain_distance(a, b) == compute_domain_distance(a, b)
    assert compute_domain_distance(a[:3], b) is None


def test_estimated_accuracy_is_the_share_above_the_source_threshold():
    source = np.array([[0.9, 0.1], [0.8, 0.2], [0.3, 0.7], [0.45, 0.55]])
    labels = np.array([0, 0, 1, 0])  # three of four are correct
    assert estimate_accuracy(source, labels, source) == pytest.approx(0.75)
    unsure = np.full((10, 2), 0.5)
    assert estimate_accuracy(source, labels, unsure) == 0
    assert estimate_accuracy(source, np.array([0, 0, 1, 1]), source) == 1


def metrics(*shares, confidence=0.7, information=0.5):
    entropy = -sum(s * math.log(s) for s in shares if s)
    return LabelFreeMetrics(confidence, information, shares, math.exp(entropy))


def changes(before, after, *, changed=0.2, distance=None):
    names = tuple("abc"[: len(after.shares)])
    transitions = ((("a", "b"), 7), (("b", "a"), 2))
    return PredictionChanges(
        names,
        100,
        changed,
        transitions,
        TargetSummary(before),
        TargetSummary(after, domain_distance=distance),
    )


EVEN = metrics(0.4, 0.3, 0.3)


@pytest.mark.parametrize(
    ("after", "options", "level", "words"),
    [
        (EVEN, {}, "plausible", None),
        (metrics(0.95, 0.05, 0.0), {}, "do not use", "95% of all predictions are a: a collapse"),
        (metrics(0.6, 0.4, 0.0), {}, "check first", "predicted as c any more"),
        (EVEN, {"changed": 0.6}, "check first", "60% of the predictions changed"),
        (EVEN, {"distance": 1.8}, "check first", "still easy to tell apart"),
        (EVEN, {"distance": 0.4}, "plausible", None),
        (
            metrics(0.4, 0.3, 0.3, confidence=0.5, information=0.1),
            {},
            "check first",
            "less confident and less varied",
        ),
    ],
)
def test_warning_signs_are_reported(after, options, level, words):
    result = assess_trust(changes(EVEN, after, **options), target_images=1000, source_images=2000)
    assert result.level == level
    assert bool(result.reasons) == (words is not None)
    assert words is None or words in " ".join(result.reasons)
    assert result.sentence().endswith(".")


@pytest.mark.parametrize(
    ("images", "source", "words"),
    [(50, 60, "50 images; hundreds"), (300, 9000, "9000 source"), (9000, 300, "300 source")],
)
def test_few_images_and_unequal_domains_are_reported(images, source, words):
    result = assess_trust(changes(EVEN, EVEN), target_images=images, source_images=source)
    assert result.level == "check first"
    assert words in " ".join(result.reasons)


def test_tables_leave_out_missing_values():
    label_free, shares, transitions = build_change_tables(changes(EVEN, EVEN))
    assert [row[0] for row in label_free.rows] == [
        "mean confidence",
        "effective number of classes",
        "mutual information, nats",
    ]
    assert shares.rows[0] == ("a", "40.0 %", "40.0 %")
    assert transitions.rows == [("a", "b", "7"), ("b", "a", "2")]
    with_distance, _, _ = build_change_tables(changes(EVEN, EVEN, distance=0.5))
    assert len(with_distance.rows) == 3  # a row needs both sides
