from __future__ import annotations

from collections import Counter
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ke2nt.data.sample import FaceSample, FaceSplit
from ke2nt.data.splits import (
    carve_validation,
    draw_shots,
    hold_out,
    limit_fraction,
)
from ke2nt.errors import DataError, LabelError


def make(labels, subjects=None, classes=("a", "b", "c")):
    samples = tuple(
        FaceSample(
            f"{i:04d}.png",
            Path(f"{i}.png"),
            int(label),
            subject=None if subjects is None else subjects[i],
        )
        for i, label in enumerate(labels)
    )
    return FaceSplit("demo", "train", tuple(classes), samples)


def names(split):
    return [sample.name for sample in split.samples]


def counts(split):
    return np.bincount(split.labels(), minlength=len(split.classes))


@given(
    st.lists(st.integers(2, 60), min_size=3, max_size=3),
    st.floats(0.05, 0.95),
    st.integers(0, 5),
)
@settings(max_examples=50, deadline=None)
def test_each_class_gives_its_share_without_subjects(sizes, fraction, seed):
    split = make(np.repeat(range(3), sizes))
    train, val = carve_validation(split, fraction, seed)

    assert sorted(names(train) + names(val)) == names(split)
    assert (train.split, val.split) == ("train", "val")
    for size, held in zip(sizes, counts(val), strict=True):
        assert 1 <= held <= size - 1
        assert abs(held - fraction * size) <= 0.5 or held in (1, size - 1)


def test_division_depends_on_the_seed_and_not_on_the_order():
    split = make(np.arange(90) % 3)
    train, val = carve_validation(split, 0.2, 7)
    again = carve_validation(split.subset(reversed(range(90))), 0.2, 7)[1]

    assert set(names(again)) == set(names(val))
    assert names(val) == sorted(names(val))
    assert set(names(carve_validation(split, 0.2, 8)[1])) != set(names(val))
    assert len(train) == 72


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("fraction", [0.1, 0.25, 0.5])
def test_subjects_stay_whole_and_classes_near_their_share(seed, fraction):
    rng = np.random.default_rng(seed)
    labels, subjects = [], []
    for person in range(80):  # like CK+: each person shows a few of the classes, some are rare
        for label in rng.choice(4, rng.integers(1, 5), replace=False, p=[0.4, 0.3, 0.2, 0.1]):
            labels += [label] * 3
            subjects += [f"S{person:03d}"] * 3
    split = make(labels, subjects, classes="abcd")
    train, val = carve_validation(split, fraction, seed)

    assert not {s.subject for s in train.samples} & {s.subject for s in val.samples}
    assert len(train) + len(val) == len(split)
    assert np.all(np.abs(counts(val) / counts(split) - fraction) < 0.05)


@given(st.data())
@settings(max_examples=60, deadline=None)
def test_both_parts_have_every_class_or_it_is_an_error(data):
    size = data.draw(st.integers(1, 24))
    labels = data.draw(st.lists(st.integers(0, 2), min_size=size, max_size=size))
    people = st.one_of(st.none(), st.sampled_from("pqrstu"))
    split = make(labels, data.draw(st.lists(people, min_size=size, max_size=size)))
    try:
        train, val = carve_validation(split, data.draw(st.floats(0.05, 0.95)), 0)
    except DataError:
        return

    assert sorted(names(train) + names(val)) == names(split)
    assert set(train.labels()) == set(val.labels()) == set(labels)

    known = [{s.subject for s in part.samples} - {None} for part in (train, val)]
    assert not known[0] & known[1]


def test_rows_of_one_image_stay_together():
    samples = tuple(
        FaceSample(f"{i}.png{twin}", Path(f"{i}.png"), i % 2)
        for i in range(40)
        for twin in ("", "#2")
    )
    train, val = carve_validation(FaceSplit("demo", "train", ("a", "b"), samples), 0.25, 0)
    stems = [{s.name.removesuffix("#2") for s in part.samples} for part in (train, val)]

    assert not stems[0] & stems[1]
    assert len(val) == 20


def test_error_names_the_class_with_too_few_samples():
    with pytest.raises(DataError, match=r"validation data: c.*at least two samples"):
        carve_validation(make([0, 0, 1, 1, 2]), 0.5, 0)
    with pytest.raises(DataError, match=r"validation data: a.*at least two subjects"):
        carve_validation(make([0, 0, 1, 1], ["p", "p", "p", "q"]), 0.5, 0)
    with pytest.raises(DataError, match="all classes"):
        carve_validation(make([]), 0.5, 0)
    for fraction in (0, 1, -0.1, float("nan")):
        with pytest.raises(DataError, match="between 0 and 1"):
            carve_validation(make([0, 0]), fraction, 0)


def test_limited_labels_are_stratified_and_nested():
    split = make(np.repeat(range(3), (100, 40, 3)))
    parts = [limit_fraction(split, fraction, 0) for fraction in (0.01, 0.1, 0.5, 1)]

    # At least one sample of every class

    assert [counts(part).tolist() for part in parts] == [
        [1, 1, 1],
        [10, 4, 1],
        [50, 20, 2],
        [100, 40, 3],
    ]
    for small, large in pairwise(parts):
        assert set(names(small)) < set(names(large))
    assert parts[-1] == split
    assert names(limit_fraction(split, 0.1, 1)) != names(parts[1])
    for fraction in (0, 1.5):
        with pytest.raises(DataError):
            limit_fraction(split, fraction, 0)


def test_shots_are_drawn_per_class_nested_and_independent_of_order():
    split = make(np.repeat(range(3), (30, 12, 4)))
    parts = [draw_shots(split, shots, 1) for shots in (1, 2, 4)]
    assert [counts(part).tolist() for part in parts] == [[1] * 3, [2] * 3, [4] * 3]
    for small, large in pairwise(parts):
        assert set(names(small)) < set(names(large))

    # the same samples in another order, and another seed
    assert set(names(draw_shots(split.subset(range(45, -1, -1)), 4, 1))) == set(names(parts[2]))
    assert names(draw_shots(split, 4, 2)) != names(parts[2])
    assert names(parts[2]) == sorted(names(parts[2]), key=names(split).index)


def test_too_few_samples_for_the_shots_are_named():
    with pytest.raises(DataError, match=r"too few samples for 5 shots.*found b 4, c 0") as error:
        draw_shots(
            FaceSplit("demo", "train", ("a", "b", "c"), make([0] * 9 + [1] * 4).samples), 5, 0
        )
    assert "hold these classes out" in str(error.value)
    with pytest.raises(DataError, match="out of range; expected 1 or more; found 0"):
        draw_shots(make([0]), 0, 0)


def test_held_out_classes_are_removed_and_the_rest_renumbered():
    shares = [(0.5, 0.25, 0.25), (0.0, 1.0, 0.0), (0.2, 0.2, 0.6), (1.0, 0.0, 0.0)]

    # The last sample has votes for the held-out class only
    samples = tuple(
        FaceSample(str(i), Path(str(i)), label, distribution=share)
        for i, (label, share) in enumerate(zip((0, 1, 2, 2), shares, strict=True))
    )
    split = FaceSplit("demo", "train", ("a", "b", "c"), samples)
    rest = hold_out(split, ["a"])

    assert rest.classes == ("b", "c")
    assert rest.labels().tolist() == [0, 1, 1]
    assert [s.distribution for s in rest.samples] == [
        (1.0, 0.0),
        pytest.approx((0.25, 0.75)),
        None,
    ]
    assert hold_out(split, []) == split
    with pytest.raises(LabelError, match="'d'"):
        hold_out(split, ["d"])
    with pytest.raises(LabelError, match="no class is left"):
        hold_out(split, ["a", "b", "c"])


def test_counts_for_a_split_like_ferplus():
    sizes = (8740, 7287, 3149, 3014, 2100, 119, 532, 119)
    split = make(np.repeat(range(8), sizes), classes="abcdefgh")
    val = carve_validation(split, 0.1, 29)[1]

    assert Counter(val.labels().tolist()) == {
        0: 874,
        1: 729,
        2: 315,
        3: 301,
        4: 210,
        5: 12,
        6: 53,
        7: 12,
    }
