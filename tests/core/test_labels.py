"""Label sets are those of the datasets, and are mapped only by an explicit policy."""

from __future__ import annotations

import pytest

from ke2nt.errors import LabelError
from ke2nt.labels import (
    CANONICAL,
    DATASET_LABELS,
    canonical_name,
    check_same_labels,
    map_labels,
    neutral_index,
)

# As each dataset's annotation files number the classes; RAF-DB counts from 1.
FACTS = {
    "rafdb": "surprise fear disgust happiness sadness anger neutral",
    "affectnet7": "neutral happiness sadness surprise fear disgust anger",
    "affectnet8": "neutral happiness sadness surprise fear disgust anger contempt",
    "fer2013": "anger disgust fear happiness sadness surprise neutral",
    "ferplus": "neutral happiness surprise sadness anger disgust fear contempt",
    "ckplus": "neutral anger contempt disgust fear happiness sadness surprise",
}


def test_canonical_order():
    assert " ".join(CANONICAL) == FACTS["ferplus"]


@pytest.mark.parametrize("dataset", FACTS)
def test_dataset_orders(dataset):
    assert DATASET_LABELS[dataset] == tuple(FACTS[dataset].split())


def test_dataset_labels_are_unique_canonical_names():
    for labels in DATASET_LABELS.values():
        assert len(set(labels)) == len(labels)
        assert set(labels) <= set(CANONICAL)


@pytest.mark.parametrize(
    ("word", "name"),
    [("Happy", "happiness"), (" angry ", "anger"), ("FEAR", "fear"), ("sad", "sadness")],
)
def test_canonical_name(word, name):
    assert canonical_name(word) == name


def test_canonical_names_map_to_themselves():
    assert [canonical_name(name) for name in CANONICAL] == list(CANONICAL)


def test_unknown_expression_names_the_nearest():
    with pytest.raises(LabelError, match=r"'hapiness'.*Did you mean 'happiness'"):
        canonical_name("hapiness")


def test_neutral_index():
    assert neutral_index(DATASET_LABELS["rafdb"]) == 6
    assert neutral_index(["anger", "fear"]) is None


def test_check_same_labels_compares_the_order():
    check_same_labels(["a", "b"], ("a", "b"), where="x")
    with pytest.raises(LabelError, match=r"in run\.json"):
        check_same_labels(["a", "b"], ["b", "a"], where="run.json")


def test_strict_allows_another_order():
    mapping = map_labels(DATASET_LABELS["rafdb"], DATASET_LABELS["affectnet7"])
    for source, index in zip(mapping.source, mapping.index, strict=True):
        assert mapping.target[index] == source
    assert mapping.dropped == mapping.unused == ()
    assert mapping.describe() == "label sets agree"


@pytest.mark.parametrize(
    ("source", "target"), [("rafdb", "ferplus"), ("ferplus", "rafdb")], ids=["unused", "dropped"]
)
def test_strict_refuses_other_classes(source, target):
    with pytest.raises(LabelError, match=r"label sets differ.*drop or --labels keep"):
        map_labels(DATASET_LABELS[source], DATASET_LABELS[target])


def test_drop_leaves_out_and_masks():
    mapping = map_labels(["anger", "contempt"], ["neutral", "anger"], policy="drop")
    assert mapping.index == (1, None)
    assert mapping.dropped == ("contempt",)
    assert mapping.unused == ("neutral",)
    assert "dropped from the data: contempt" in mapping.describe()
    assert "(masked out): neutral" in mapping.describe()


def test_keep_allows_classes_that_drop_masks():
    keep = map_labels(["anger"], ["neutral", "anger"], policy="keep")
    drop = map_labels(["anger"], ["neutral", "anger"], policy="drop")
    assert (keep.index, keep.unused) == (drop.index, drop.unused)
    assert (keep.policy, drop.policy) == ("keep", "drop")
    assert "kept as possible predictions" in keep.describe()


def test_merge_satisfies_strict():
    mapping = map_labels(
        ["anger", "contempt", "disgust"], ["disgust", "anger"], merge={"contempt": "disgust"}
    )
    assert mapping.index == (1, 0, 0)
    assert mapping.describe() == "contempt → disgust"


def test_merge_is_one_step_and_can_swap():
    mapping = map_labels(["a", "b"], ["a", "b"], merge={"a": "b", "b": "a"})
    assert mapping.index == (1, 0)


def test_a_class_merged_away_is_unused_in_the_target():
    mapping = map_labels(
        ["anger", "contempt"], ["anger", "contempt"], policy="keep", merge={"contempt": "anger"}
    )
    assert mapping.index == (0, 0)
    assert mapping.unused == ("contempt",)


@pytest.mark.parametrize("merge", [{"joy": "anger"}, {"anger": "joy"}])
def test_merge_of_unknown_classes(merge):
    with pytest.raises(LabelError, match="cannot merge"):
        map_labels(["anger"], ["anger"], merge=merge)


@pytest.mark.parametrize("policy", ["drop", "keep"])
@pytest.mark.parametrize("source", [["anger"], []])
def test_nothing_in_common(policy, source):
    with pytest.raises(LabelError, match="share no class"):
        map_labels(source, ["neutral"], policy=policy)


def test_unknown_policy():
    with pytest.raises(LabelError, match=r"unknown label policy 'dorp'.*Did you mean 'drop'"):
        map_labels(["anger"], ["anger"], policy="dorp")


@pytest.mark.parametrize("labels", [(["a", "a"], ["a"]), (["a"], ["a", "a"])])
def test_a_class_named_twice(labels):
    with pytest.raises(LabelError, match="twice"):
        map_labels(*labels, policy="keep")
