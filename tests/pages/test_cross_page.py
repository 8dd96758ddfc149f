"""Tables and pages of cross-evaluations: names, dashes, column types and titles."""

from __future__ import annotations

import numpy as np
import pytest

from ke2nt.evaluation.cross_dataset import Cell, CrossEvaluation
from ke2nt.evaluation.predictions import Predictions
from ke2nt.evaluation.robustness import Robustness
from ke2nt.evaluation.score import score_predictions
from ke2nt.evaluation.targets import Target
from ke2nt.pages.cross_page import build_cross_page, build_robustness_page, build_robustness_section
from ke2nt.pages.cross_tables import (
    build_metric_matrices,
    build_pair_table,
    build_severity_tables,
    shorten_model_names,
)
from ke2nt.pages.render import render_tables

CLASSES = ("neutral", "happiness")


def make_evaluation(correct: int, count: int = 10):
    """An evaluation with `correct` right answers of `count`, in one class each."""
    labels = np.arange(count) % 2
    predicted = np.where(np.arange(count) < correct, labels, 1 - labels)
    names = tuple(f"n{i}" for i in range(count))
    predictions = Predictions(np.eye(2)[predicted], labels, names, CLASSES, CLASSES, None, ())
    return score_predictions(predictions, bootstrap=0)


@pytest.fixture
def matrix():
    targets = (Target("ferplus", "x", "val"), Target("rafdb", "y"))
    cells = [
        Cell("runs/a/model", "ferplus val", make_evaluation(8), home=True),
        Cell("runs/a/model", "rafdb", error="no such folder"),
    ]
    return CrossEvaluation(("runs/a/model", "runs/b"), targets, cells)


def test_model_names_are_shortened_unless_ambiguous():
    assert shorten_model_names(["runs/a/model", "runs/b"]) == ["a", "b"]
    assert shorten_model_names(["x/a", "y/a"]) == ["x/a", "y/a"]


def test_pairs(matrix):
    table = build_pair_table(matrix)
    assert [len(row) for row in table.rows] == [len(table.columns)] * 2
    assert table.rows[0][:5] == ["a", "ferplus val *", "10", "2", "80.0"]
    assert table.rows[1][2:] == ["–"] * 8
    assert dict(table.columns)["n images"]
    assert not dict(table.columns)["model"]


def test_matrices_have_dashes_for_missing_cells(matrix):
    accuracy, uar = build_metric_matrices(matrix)
    assert (accuracy.title, uar.title) == ("WAR, percent", "UAR, percent")
    assert accuracy.rows == [["a", "80.0", "–"], ["b", "–", "–"]]
    assert accuracy.columns == [("model", False), ("ferplus val", True), ("rafdb", True)]


def test_severities_and_means():
    cells = {("jpeg", 1): make_evaluation(8), ("jpeg", 5): make_evaluation(4)}
    result = Robustness(make_evaluation(10), ("jpeg",), (1, 5), cells)
    accuracy, _ = build_severity_tables(result)
    assert accuracy.rows == [["jpeg", "80.0", "40.0", "60.0"], ["mean", "80.0", "40.0", "60.0"]]
    section = build_robustness_section(result, "a on b", ["a note"])
    html = render_tables(build_robustness_page([section], [], command="ke2nt cross-eval"))
    assert "a on b" in html
    assert "a note" in html


def test_page(matrix):
    failed = [("a on rafdb", "no such folder")]
    html = render_tables(build_cross_page(matrix, failed, command="ke2nt cross-eval"))
    assert "Models: 2, datasets: 2." in html
    assert "no such folder" in html
    assert "ke2nt cross-eval" in html
