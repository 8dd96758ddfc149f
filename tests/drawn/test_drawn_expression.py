"""Action units: prototypes, the scale of intensity, and one-sidedness."""

from __future__ import annotations

import numpy as np
import pytest

from ke2nt.drawn.expression import ACTION_UNITS, PROTOTYPES, sample_action_units
from ke2nt.errors import Ke2ntError, LabelError
from ke2nt.labels import CANONICAL

EXPRESSIVE = [name for name in CANONICAL if name != "neutral"]


def mean_units(name: str, intensity: float, count: int = 60) -> np.ndarray:
    draws = [
        sample_action_units(name, intensity, np.random.default_rng(i)).values for i in range(count)
    ]
    return np.mean(draws, axis=0)


def unit(values: np.ndarray, number: int) -> float:
    return float(values[ACTION_UNITS.index(number)].mean())


def test_every_class_has_prototypes_of_known_units_in_range():
    assert set(PROTOTYPES) == set(CANONICAL)
    for variants in PROTOTYPES.values():
        for variant in variants:
            assert set(variant) <= set(ACTION_UNITS)
            assert all(0 < activation <= 1 for activation in variant.values())


@pytest.mark.parametrize("name", EXPRESSIVE)
def test_intensity_zero_equals_neutral(name):
    for seed in range(5):
        zero = sample_action_units(name, 0.0, np.random.default_rng(seed))
        neutral = sample_action_units("neutral", 0.0, np.random.default_rng(seed))
        assert np.array_equal(zero.values, neutral.values)


@pytest.mark.parametrize("name", EXPRESSIVE)
def test_activation_grows_with_intensity_in_every_draw(name):
    for seed in range(5):
        totals = [
            sample_action_units(name, level, np.random.default_rng(seed)).values.sum()
            for level in (0.0, 0.25, 0.5, 0.75, 1.0)
        ]
        assert np.all(np.diff(totals) > 0)


def test_draws_vary_and_stay_in_range():
    draws = [sample_action_units("fear", 1.0, np.random.default_rng(i)).values for i in range(20)]
    assert all(values.min() >= 0 and values.max() <= 1 for values in draws)
    assert np.std(draws, axis=0).max() > 0.05
    assert any(np.abs(values[:, 0] - values[:, 1]).max() > 0.02 for values in draws)


@pytest.mark.parametrize(
    ("name", "strong", "weak"),
    [
        ("happiness", (6, 12), (4, 15)),
        ("surprise", (1, 2, 5), (4, 20)),
        ("sadness", (1, 15), (12, 5)),
        ("anger", (4, 7), (1, 12)),
        ("disgust", (9, 10), (1, 5)),
        ("fear", (1, 4, 5, 20), (12, 15)),
        ("contempt", (14,), (1, 4)),
    ],
)
def test_expressions_use_their_units(name, strong, weak):
    values = mean_units(name, 1.0)
    assert min(unit(values, n) for n in strong) > 0.3
    assert max(unit(values, n) for n in weak) < 0.15


def test_contempt_is_one_sided_on_either_half():
    row = ACTION_UNITS.index(14)
    sides = set()
    for seed in range(20):
        left, right = sample_action_units("contempt", 1.0, np.random.default_rng(seed)).values[row]
        assert abs(left - right) > 0.4
        sides.add(bool(left > right))
    assert sides == {True, False}


def test_sides_and_mean_agree():
    units = sample_action_units("contempt", 1.0, np.random.default_rng(0))
    assert units.both(14) == pytest.approx((units(14, -1) + units(14, 1)) / 2)


@pytest.mark.parametrize("intensity", [-0.1, 1.1, float("nan")])
def test_intensity_out_of_range(intensity):
    with pytest.raises(LabelError, match="0 to 1"):
        sample_action_units("fear", intensity, np.random.default_rng(0))


def test_unknown_expression():
    with pytest.raises(Ke2ntError, match="boredom"):
        sample_action_units("boredom", 0.5, np.random.default_rng(0))
