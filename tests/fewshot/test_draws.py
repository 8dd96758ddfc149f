"""Which images are drawn, and that none of them is judged on."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from ke2nt.data.sample import FaceSample, FaceSplit
from ke2nt.data.splits import draw_shots
from ke2nt.errors import DataError
from ke2nt.fewshot.draws import choose_pools, draw_all

CLASSES = ("neutral", "happiness", "fear")


def make(split, counts):
    samples = tuple(
        FaceSample(f"{split}{k}-{i}", Path("x.png"), k)
        for k, count in enumerate(counts)
        for i in range(count)
    )
    return FaceSplit("demo", split, CLASSES, samples)


def names(split):
    return {sample.name for sample in split.samples}


def counts(split):
    return np.bincount(split.labels(), minlength=3).tolist()


def test_a_validation_split_serves_for_hyperparameters():
    pools = choose_pools(make("train", (9, 8, 7)), make("val", (9, 9, 2)), make("test", (1, 1, 1)))
    draws = draw_all(pools, (1, 2, 6, "all"), (1, 2))
    assert [(draw.shots, draw.seed) for draw in draws[2:5]] == [(2, 1), (2, 2), (6, 1)]
    assert [counts(draw.train) for draw in draws[::2]] == [[1] * 3, [2] * 3, [6] * 3, [9, 8, 7]]

    # min(K, 4) of each class, or as many as there are; with all images all of them
    found = [counts(draw.validation) for draw in draws[::2]]
    assert found == [[1] * 3, [2] * 3, [4, 4, 2], [9, 9, 2]]

    # drawn as for data.shots
    assert draws[4].train == draw_shots(pools.train, 6, 1)
    assert names(draws[0].train) < names(draws[2].train) < names(draws[4].train)
    assert names(draws[4].train) != names(draws[5].train)


def test_without_one_a_part_of_the_training_images_is_set_aside():
    train = make("train", (40, 30, 20))
    pools = choose_pools(train, None, make("val", (3, 3, 3)))
    assert counts(pools.validation) == [4, 3, 2]
    assert names(pools.train) | names(pools.validation) == names(train)
    assert not names(pools.train) & names(pools.validation)
    assert "10 % of split train" in pools.rule
    for draw in draw_all(pools, (4, "all"), (1, 2, 3)):
        assert names(draw.train) <= names(pools.train)
        assert names(draw.validation) <= names(pools.validation)


@pytest.mark.parametrize("used", ["train", "val"])
def test_no_split_is_used_twice(used):
    with pytest.raises(DataError, match=f"different images; found split {used} of demo twice"):
        choose_pools(make("train", (5, 5, 5)), make("val", (5, 5, 5)), make(used, (5, 5, 5)))


def test_shots_are_not_tuned_on():
    train = make("train", (5, 5, 5))
    with pytest.raises(DataError, match="different images; found split train of demo twice"):
        choose_pools(train, train, make("test", (5, 5, 5)))


def test_classes_without_enough_images_are_named():
    pools = choose_pools(make("train", (9, 3, 0)), make("val", (1, 1, 1)), make("test", (1, 1, 1)))
    with pytest.raises(DataError, match=r"too few samples for 4 shots.*found happiness 3, fear 0"):
        draw_all(pools, (1, 4)[1:], (1,))
    with pytest.raises(DataError, match="no training image of fear"):
        draw_all(pools, ("all",), (1,))
    with pytest.raises(DataError, match="too few samples to split off validation data: fear"):
        choose_pools(make("train", (9, 3, 1)), None, make("test", (1, 1, 1)))
