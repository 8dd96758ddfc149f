"""The readout against plain numpy, its scale, and what happens where there is none."""

import numpy as np
import pytest
import torch

from ke2nt.errors import CheckpointError, DataError
from ke2nt.predict.fit_intensity import fit_intensity_scale
from ke2nt.predict.intensity import IntensityScale, compute_intensity

CLASSES = ("neutral", "happiness", "disgust")


def slow(move, bank):
    def unit(v):
        length = np.linalg.norm(v)
        return v / length if length else v

    return [
        float(move @ unit(row - bank.neutral_raw.numpy().astype(np.float64)))
        for row in bank.raw.numpy().astype(np.float64)
    ]


def test_raw_intensity_is_the_length_of_the_projection(model):
    own = np.random.default_rng(0).normal(size=(5, 16))
    rows = torch.from_numpy(own)
    found = compute_intensity(rows, None, model.bank).numpy()
    assert np.allclose(found, [slow(e, model.bank) for e in own], atol=1e-6)
    assert (found[:, 0] == 0).all()
    photo = compute_intensity(rows, rows[:1], model.bank).numpy()
    assert np.allclose(photo[0], 0)
    assert np.allclose(photo, [slow(e - own[0], model.bank) for e in own], atol=1e-6)


def test_scale_is_zero_at_the_median_neutral_face_and_one_at_that_of_the_class():
    labels = np.repeat([0, 1, 2], [21, 30, 9])
    moves = np.random.default_rng(1).normal(size=(60, 3))
    moves[labels == 1, 1] += 5
    answers = labels.copy()
    answers[25] = 0  # a missed face
    moves[25, 1] = -100

    # the scale is measured on faces that the model recognizes
    named = (labels == 1) & (answers == 1)
    scale = fit_intensity_scale(moves, labels, answers, CLASSES)
    found = scale.apply(moves, CLASSES, neutral_photo=False)
    assert np.median(found[labels == 0, 1]) == pytest.approx(0)
    assert np.median(found[named, 1]) == pytest.approx(1)
    assert scale.unit["disgust"] == scale.unit["happiness"]  # too few faces of its own
    assert np.array_equal(found[:, 0], moves[:, 0])

    # a neutral photo is the zero
    against_photo = scale.apply(moves, CLASSES, neutral_photo=True)
    assert np.allclose(against_photo[:, 1], moves[:, 1] / scale.unit["happiness"])
    other = scale.apply(moves, ("bored", "in pain", "calm"), neutral_photo=False)
    assert np.array_equal(other, moves)

    assert IntensityScale.from_dict(scale.to_dict()) == scale


def test_scale_needs_neutral_faces_and_faces_that_move():
    moves, ones = np.zeros((20, 3)), np.ones(20, int)
    with pytest.raises(DataError, match="neutral"):
        fit_intensity_scale(moves, ones, ones, CLASSES)
    with pytest.raises(DataError, match="neutral"):
        fit_intensity_scale(moves, 0 * ones, ones, ("calm", "joy", "rage"))
    with pytest.raises(DataError, match="no class"):
        fit_intensity_scale(moves, np.arange(20) % 2, ones, CLASSES)


@pytest.mark.parametrize(
    "bad",
    [
        {"zero": {"joy": 0}, "unit": {"joy": 0}},
        {"zero": {"joy": 0}, "unit": {"rage": 1}},
        {"zero": {"joy": float("nan")}, "unit": {"joy": 1}},
        {"zero": {"joy": "much"}, "unit": {"joy": 1}},
        {"zero": {}},
        3,
    ],
)
def test_damaged_scale_is_an_error(bad):
    with pytest.raises(CheckpointError, match="intensity scale"):
        IntensityScale.from_dict(bad)
