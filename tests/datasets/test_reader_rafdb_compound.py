from __future__ import annotations

import pytest
from reader_trees import write_rafdb

from ke2nt.datasets.forms import find_forms
from ke2nt.datasets.rafdb_compound import RAFDBCompound
from ke2nt.errors import DataError
from ke2nt.labels import COMPOUND_LABELS

LINES = [
    f"{split}_{number:04d}.jpg {number}" for split in ("train", "test") for number in range(1, 12)
]


@pytest.fixture
def root(tmp_path):
    return write_rafdb(tmp_path, LINES)


def test_eleven_classes(root):
    test = RAFDBCompound(root).load("test")
    assert [test.classes[s.label] for s in test.samples] == list(COMPOUND_LABELS)
    assert test.classes[0] == "happily surprised"
    assert test.classes[10] == "disgustedly surprised"
    assert [form.reader for form in find_forms(root)] == ["rafdb_compound"]


@pytest.mark.parametrize(("labels", "expected"), [("first", "happiness"), ("second", "surprise")])
def test_basic_expressions(root, labels, expected):
    split = RAFDBCompound(root, labels=labels).load("train")
    assert split.classes == ("surprise", "fear", "disgust", "happiness", "sadness", "anger")
    assert split.classes[split.samples[0].label] == expected
    assert split.samples[0].attributes == {"compound": "happily surprised"}
    assert split.samples[0].distribution is None


def test_shares_are_half_of_each(root):
    split = RAFDBCompound(root, labels="shares").load("train")
    for sample in split.samples:
        shares = dict(zip(split.classes, sample.distribution, strict=True))
        first, second = COMPOUND_LABELS[sample.attributes["compound"]]
        assert {name: share for name, share in shares.items() if share} == {first: 0.5, second: 0.5}
        assert split.classes[sample.label] == second


def test_all_unknown_numbers_are_named_with_their_counts(root):
    write_rafdb(root, [*LINES, "train_0012.jpg 12", "test_0012.jpg 12", "test_0013.jpg 13"])
    with pytest.raises(DataError, match=r"1 happily surprised.*found 12 \(2\), 13 \(1\)"):
        RAFDBCompound(root).load("train")


def test_wrong_values(root):
    with pytest.raises(DataError, match=r"'third'.*compound, first, second, shares"):
        RAFDBCompound(root, labels="third")
