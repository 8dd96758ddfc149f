"""Whether a target looks different, and whether its class shares can be trusted."""

from __future__ import annotations

import numpy as np
import pytest
from adapted_weights import assert_same_weights, load_weights
from safetensors.torch import load_file

from ke2nt.adapt.adapt_model import adapt
from ke2nt.adapt.gate import Gate, compute_matched_distance, match_classes
from ke2nt.adapt.label_free_metrics import compute_domain_distance
from ke2nt.adapt.share_correction import ShareCheck
from ke2nt.cli.adapt import _show as show_result
from ke2nt.errors import ConfigError
from ke2nt.evaluation.predictions import Predictions
from ke2nt.models.load import load_model

CENTERS = np.array([[4.0, 0.0, 0.0], [0.0, 4.0, 0.0]])


def domain(counts, seed, *, offset=0.0):
    """Predictions for images of two classes, whose embeddings lie around a center of each."""
    labels = np.repeat([0, 1], counts)
    noise = np.random.default_rng(seed).normal(0, 0.5, (len(labels), 3))
    names = tuple(map(str, labels))
    embeddings = CENTERS[labels] + noise + [0.0, 0.0, offset]
    probabilities = np.eye(2)[labels]
    return Predictions(probabilities, labels, names, ("a", "b"), ("a", "b"), embeddings, ())


def test_matched_classes_are_equally_many():
    rng = np.random.default_rng(0)
    source, target = rng.integers(0, 5, 200), rng.integers(2, 7, 300)
    first, second = match_classes(source, target, seed=3)
    for k in range(7):
        expected = min(int((source == k).sum()), int((target == k).sum()))
        assert (source[first] == k).sum() == (target[second] == k).sum() == expected
    for rows in (first, second):
        assert len(set(rows.tolist())) == len(rows)

    # the seed decides which
    again, other = match_classes(source, target, seed=3), match_classes(source, target, seed=4)
    assert np.array_equal(again[1], second)
    assert not np.array_equal(other[1], second)


def test_nothing_is_matched_without_a_shared_class():
    first, second = match_classes(np.zeros(50, np.int64), np.ones(50, np.int64))
    assert len(first) == len(second) == 0
    assert compute_matched_distance(domain((50, 0), 0), domain((0, 50), 1)) == 2.0


def test_class_shares_alone_are_no_distance():
    source, target = domain((190, 10), 0), domain((60, 140), 1)
    assert compute_domain_distance(source.embeddings, target.embeddings) > 1.0
    assert compute_matched_distance(source, target) < 0.3


def test_another_look_is_a_distance_whatever_the_shares():
    source = domain((190, 40), 0)
    for counts in ((190, 40), (60, 140)):
        assert compute_matched_distance(source, domain(counts, 1, offset=5.0)) > 1.9


def test_gate_opens_from_its_least_distance():
    assert Gate(0.5, 0.5).opens
    assert not Gate(0.49, 0.5).opens
    assert Gate(0.7, 0.5).to_dict() == {"distance": 0.7, "least": 0.5, "adapted": True}


def test_closed_gate_keeps_the_model(tiny, monkeypatch):
    monkeypatch.setattr("ke2nt.adapt.gate.compute_matched_distance", lambda *a, **k: 0.3)
    config = tiny("adapt.method=pseudo", "adapt.gate=0.5")
    result = adapt(config, quiet=True)
    assert_same_weights(load_file(f"{config.start}/model/model.safetensors"), load_weights(result))
    facts = result.run.read("adaptation.json")
    assert facts["gate"] == {"distance": 0.3, "least": 0.5, "adapted": False}
    assert facts["selection"] == ("the model as it was: the domains look the same (distance 0.30)")
    assert facts["changed"] == 0


def test_open_gate_changes_nothing(tiny):
    overrides = ("adapt.method=pseudo", "optim.epochs=1")
    with_gate = adapt(tiny(*overrides, "adapt.gate=0", out="gate"), quiet=True)
    without = adapt(tiny(*overrides, out="none"), quiet=True)
    assert_same_weights(load_weights(without), load_weights(with_gate))
    assert with_gate.facts["gate"]["adapted"] is True
    assert without.facts["gate"] is None


@pytest.mark.parametrize(
    ("distance", "disagreement", "passed"),
    [(0.4, 0.1, True), (0.5, 0.1, False), (0.4, 0.11, False), (0.0, 0.0, True)],
)
def test_shares_are_trusted_where_both_conditions_hold(distance, disagreement, passed):
    assert ShareCheck(distance, disagreement).passed is passed


@pytest.mark.parametrize("distance", [0.0, 2.0])
def test_shares_that_are_not_trusted_correct_nothing(tiny, monkeypatch, capsys, distance):
    name = "ke2nt.adapt.share_correction"
    monkeypatch.setattr(f"{name}.compute_matched_distance", lambda *a, **k: distance)
    monkeypatch.setattr(f"{name}.estimate_shares_bbse", lambda *a: np.array([0.2, 0.5, 0.3]))
    monkeypatch.setattr(f"{name}.estimate_shares_em", lambda *a: np.array([0.25, 0.45, 0.3]))
    result = adapt(tiny("adapt.method=shares", "adapt.shares=checked"), quiet=True)

    check = result.run.read("adaptation.json")["class_shares"]["check"]
    assert check["disagreement"] == pytest.approx(0.05)
    assert check["passed"] is (distance == 0)
    assert (load_model(result.run.path).calibration is not None) is check["passed"]
    show_result(result)
    assert ("cannot be trusted" in capsys.readouterr().out) is not check["passed"]


def test_gate_needs_source_images(tiny):
    with pytest.raises(ConfigError, match=r"no source images for adapt\.gate"):
        tiny("adapt.method=entropy", "adapt.gate=0.5")
