"""Familiarity: the fit against a slow one, its limits, the images that it is fitted to."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from ke2nt.data.crop import crop_turned
from ke2nt.data.images import decode
from ke2nt.data.sample import FaceSample, FaceSplit
from ke2nt.drawn.backgrounds import BACKGROUNDS, draw_background
from ke2nt.errors import DataError, ModelError
from ke2nt.evaluation.fit_familiarity import _fit_logistic, area_under_curve, fit_familiarity
from ke2nt.evaluation.non_faces import loose_crops, non_faces


@pytest.fixture(scope="module")
def embeddings():
    """Faces around one direction, some of them noisy, and other images around another."""
    rng = np.random.default_rng(0)
    base, away = rng.normal(size=(2, 8))
    faces = 3 * base + rng.normal(size=(400, 8)) * np.linspace(1, 0.2, 8)
    changed = np.stack([faces + rng.normal(size=faces.shape) * 0.3])
    others = 3 * away + rng.normal(size=(200, 8))
    return tuple(x.astype(np.float32) for x in (faces, changed, others))


def test_limits_withhold_the_requested_shares(embeddings):
    faces, changed, others = embeddings
    known = fit_familiarity(faces, others, changed=changed, reject=0.02, unfamiliar=0.05)
    score, distance = known.measure(torch.from_numpy(faces)).double().numpy().T
    assert (score < known.min_face).mean() == pytest.approx(0.02, abs=0.01)
    assert (distance > known.max_distance).mean() == pytest.approx(0.05, abs=0.03)
    assert known.metrics["faces_rejected"] == pytest.approx(0.02)
    assert known.metrics["faces_unfamiliar"] == pytest.approx(0.05)
    assert known.metrics["others_rejected"] > 0.95
    assert known.metrics["face_auc"] > 0.99
    assert len(known.metrics["changed_rejected"]) == 1

    # an unseen direction is far; a face is about 1 away
    assert np.median(distance) == pytest.approx(1, abs=0.2)
    far = known.measure(torch.from_numpy(-faces[:1]))[0, 1]
    assert far > known.max_distance


def test_distance_is_that_of_mahalanobis(embeddings):
    faces, _, others = embeddings
    known = fit_familiarity(faces, others)
    directions = faces / np.linalg.norm(faces, axis=1, keepdims=True)
    center = directions.mean(axis=0)
    values, vectors = np.linalg.eigh(np.cov(directions.astype(np.float64).T))
    point = directions[7] - center
    slow = sum(float(point @ vectors[:, k]) ** 2 / values[k] for k in range(8))
    found = known.measure(torch.from_numpy(faces[7:8]))[0, 1].item()
    assert found == pytest.approx(math.sqrt(slow / 8), rel=1e-3)


def test_logistic_regression_is_at_its_minimum(embeddings):
    faces, _, others = embeddings
    rows = np.concatenate([faces, others]).astype(np.float64) * [1, 5, 1, 1, 1, 1, 0.1, 1]
    is_face = np.arange(600) < 400
    weights = np.where(is_face, 0.5 / 400, 0.5 / 200)
    weight, bias = _fit_logistic(rows, is_face, weights)
    spread = np.sqrt(weights @ (rows - weights @ rows) ** 2)

    def loss(w, b):
        margin = (rows @ w + b) * np.where(is_face, 1, -1)
        return weights @ np.logaddexp(0, -margin) + 0.5e-3 * ((w * spread) ** 2).sum()

    best = loss(weight, bias)
    for k in range(8):
        for move in (-1e-2, 1e-2):
            assert loss(weight + move / spread[k] * np.eye(8)[k], bias) > best
    assert min(loss(weight, bias + move) for move in (-1e-2, 1e-2)) > best


def test_area_under_curve_counts_pairs():
    higher, lower = np.array([3.0, 1.0, 2.0]), np.array([2.0, 0.0])
    pairs = [(a > b) + 0.5 * (a == b) for a in higher for b in lower]
    assert area_under_curve(higher, lower) == pytest.approx(np.mean(pairs))


def test_wrong_values(embeddings):
    faces, _, others = embeddings
    with pytest.raises(DataError, match="reject is out of range"):
        fit_familiarity(faces, others, reject=0.0)
    with pytest.raises(DataError, match="too few images"):
        fit_familiarity(faces[:3], others)
    known = fit_familiarity(faces, others, folds=2)
    with pytest.raises(ModelError, match="width 8"):
        known.measure(torch.zeros(1, 9))


def test_images_without_a_face_and_loose_crops_are_repeatable():
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (30, 40, 3), dtype=np.uint8)
    samples = tuple(FaceSample(f"{i}", pixels, 1) for i in range(6))
    split = FaceSplit("made up", "val", ("a", "b"), samples)
    first, second = (non_faces(split, 20, backgrounds=5, parts=3) for _ in range(2))
    assert len(first) == 8
    for a, b in zip(first.samples, second.samples, strict=True):
        assert np.array_equal(decode(a.source), decode(b.source))
    assert max(decode(sample.source).shape[0] for sample in first.samples[5:]) <= 0.4 * 30 + 1
    sides = {decode(sample.source).shape for sample in loose_crops(split).samples}
    assert len(sides) > 3
    assert all(0.8 * 30 < side[0] < 1.4 * 30 for side in sides)


@pytest.mark.parametrize("kind", BACKGROUNDS)
def test_every_background_fills_its_square(kind):
    images = [BACKGROUNDS[kind](np.random.default_rng(i), 24) for i in range(2)]
    assert images[0].shape == (24, 24, 3)
    assert not np.array_equal(*images)
    drawn = draw_background(np.random.default_rng(3), 16)
    assert (drawn.shape, drawn.dtype) == ((16, 16, 3), np.uint8)


def test_turned_squares():
    pixels = np.arange(7 * 9 * 3, dtype=np.uint8).reshape(7, 9, 3)
    upright = crop_turned(pixels, (4.5, 3.5), 5, 0)
    assert np.array_equal(upright, pixels[1:6, 2:7])
    # a quarter turn clockwise in the image: what was to the right is on top
    quarter = crop_turned(pixels, (4.5, 3.5), 5, 90)
    assert np.array_equal(quarter, np.rot90(upright))
    outside = crop_turned(pixels, (0.5, 0.5), 3, 0)
    assert np.array_equal(outside[0], outside[1])
    assert np.array_equal(outside[1:, 1:], pixels[:2, :2])
