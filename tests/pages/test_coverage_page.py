"""Risk against coverage, and calibration before and after, on the page."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import pytest

from ke2nt.evaluation.coverage import coverage_risk
from ke2nt.evaluation.metrics import classification_report
from ke2nt.pages.phrases import describe_coverage
from ke2nt.pages.render import render_report
from ke2nt.pages.run_report import RunReport


@pytest.fixture(scope="module")
def answers():
    rng = np.random.default_rng(0)
    probabilities = rng.dirichlet([1, 1, 1], 200)
    labels = np.array([rng.choice(3, p=row) for row in probabilities])
    return probabilities, labels


@pytest.fixture(scope="module")
def curve(answers):
    return coverage_risk(*answers)


def test_description_of_a_curve_without_mistakes():
    curve = coverage_risk(np.eye(2)[[0, 1, 1]], np.array([0, 1, 1]))
    assert "0.0\u00a0% of all predictions are wrong" in describe_coverage(curve, None)


def test_description_has_the_numbers(curve, answers):
    probabilities, labels = answers
    wrong = probabilities.argmax(axis=1) != labels
    text = describe_coverage(curve, 0.7)
    assert f"{100 * wrong.mean():.1f}\u00a0% of all predictions are wrong" in text
    given = probabilities.max(axis=1) >= 0.7
    assert f"{100 * given.mean():.1f}\u00a0% of these faces" in text
    assert f"{100 * wrong[given].mean():.1f}\u00a0% of them wrong" in text


def test_the_page_shows_before_and_after(answers, curve):
    probabilities, labels = answers
    after = classification_report(probabilities, labels, ("a", "b", "c"), bootstrap=0)
    before = replace(after, ece=0.3456)
    page = RunReport(title="t", metrics=after, coverage=curve, min_confidence=0.7)
    text = render_report(page)
    assert "Withholding low-confidence predictions" in text
    assert "Before calibration" not in text
    text = render_report(replace(page, uncalibrated=before))
    assert re.search(r"before calibration 34\.6", text)
    assert text.count("ECE 0.346") >= 1
