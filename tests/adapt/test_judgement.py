"""What is said of an adaptation without labels: figures, distances, trust."""

from __future__ import annotations

import math

import numpy as np
import pytest

from ke2nt.adapt.adaptation_report import change_tables
from ke2nt.adapt.answer_changes import Changes, Side
from ke2nt.adapt.label_free_criteria import (
    AnswerMetrics,
    compute_answer_metrics,
    domain_distance,
    expected_accuracy,
)
from ke2nt.adapt.trust import judge_trust


def test_figures_of_answers_are_those_of_plain_sums():
    rows = np.array([[0.7, 0.2, 0.1], [0.1, 0.8, 0.1], [0.6, 0.3, 0.1], [0.2, 0.2, 0.6]])
    found = compute_answer_metrics(rows)
    assert found.confidence == pytest.approx((0.7 + 0.8 + 0.6 + 0.6) / 4)
    assert found.shares == (0.5, 0.25, 0.25)
    mean = [sum(row[k] for row in rows) / 4 for k in range(3)]
    own = sum(-p * math.log(p) for row in rows for p in row) / 4
    assert found.information == pytest.approx(-sum(p * math.log(p) for p in mean) - own)
    spread = -sum(p * math.log(p) for p in (0.5, 0.25, 0.25))
    assert found.effective_classes == pytest.approx(math.exp(spread))
    assert not found.collapsed


def test_information_is_zero_where_all_answers_are_one_and_full_where_they_are_sure_and_even():
    one = compute_answer_metrics(np.tile([[1.0, 0, 0]], (6, 1)))
    assert one.information == pytest.approx(0)
    assert one.collapsed
    assert compute_answer_metrics(np.eye(3)).information == pytest.approx(math.log(3))
    assert not compute_answer_metrics(np.ones((4, 1))).collapsed  # one class alone cannot collapse


def test_the_distance_of_domains():
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(2, 200, 5))
    assert domain_distance(a, b) < 0.5
    assert domain_distance(a, b + 8) == 2
    assert domain_distance(a, b) == domain_distance(a, b)
    assert domain_distance(a[:3], b) is None


def test_expected_accuracy_is_the_share_above_the_source_s_threshold():
    source = np.array([[0.9, 0.1], [0.8, 0.2], [0.3, 0.7], [0.45, 0.55]])
    labels = np.array([0, 0, 1, 0])  # three of four are right
    assert expected_accuracy(source, labels, source) == pytest.approx(0.75)
    unsure = np.full((10, 2), 0.5)
    assert expected_accuracy(source, labels, unsure) == 0
    assert expected_accuracy(source, np.array([0, 0, 1, 1]), source) == 1


def answers(*shares, confidence=0.7, information=0.5):
    entropy = -sum(s * math.log(s) for s in shares if s)
    return AnswerMetrics(confidence, information, shares, math.exp(entropy))


def changes(before, after, *, changed=0.2, distance=None):
    names = tuple("abc"[: len(after.shares)])
    moves = ((("a", "b"), 7), (("b", "a"), 2))
    return Changes(names, 100, changed, moves, Side(before), Side(after, distance=distance))


EVEN = answers(0.4, 0.3, 0.3)


@pytest.mark.parametrize(
    ("after", "options", "level", "words"),
    [
        (EVEN, {}, "plausible", None),
        (answers(0.95, 0.05, 0.0), {}, "do not use", "95% of all answers are a: a collapse"),
        (answers(0.6, 0.4, 0.0), {}, "check first", "answered c any more"),
        (EVEN, {"changed": 0.6}, "check first", "60% of the answers changed"),
        (EVEN, {"distance": 1.8}, "check first", "told apart with ease"),
        (EVEN, {"distance": 0.4}, "plausible", None),
        (
            answers(0.4, 0.3, 0.3, confidence=0.5, information=0.1),
            {},
            "check first",
            "less sure and less varied",
        ),
    ],
)
def test_what_speaks_against_a_model_is_said(after, options, level, words):
    found = judge_trust(changes(EVEN, after, **options), adapted_on=1000, source_images=2000)
    assert found.level == level
    assert bool(found.reasons) == (words is not None)
    assert words is None or words in " ".join(found.reasons)
    assert found.sentence().endswith(".")


@pytest.mark.parametrize(
    ("images", "source", "words"),
    [(50, 60, "50 images; hundreds"), (300, 9000, "9000 source"), (9000, 300, "300 source")],
)
def test_few_images_and_unequal_domains_are_said(images, source, words):
    found = judge_trust(changes(EVEN, EVEN), adapted_on=images, source_images=source)
    assert found.level == "check first"
    assert words in " ".join(found.reasons)


def test_tables_leave_out_what_is_not_known():
    figures, shares, moves = change_tables(changes(EVEN, EVEN))
    assert [row[0] for row in figures.rows] == [
        "mean confidence",
        "classes in use, effectively",
        "information, nats",
    ]
    assert shares.rows[0] == ("a", "40.0 %", "40.0 %")
    assert moves.rows == [("a", "b", "7"), ("b", "a", "2")]
    more, _, _ = change_tables(changes(EVEN, EVEN, distance=0.5))
    assert len(more.rows) == 3  # a row needs both sides
