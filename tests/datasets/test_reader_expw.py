from __future__ import annotations

import numpy as np
import pytest
from laboratory_trees import write_expw

from ke2nt.banks.split_digest import split_digest
from ke2nt.data.corruption import corrupt
from ke2nt.data.images import decode
from ke2nt.datasets.base import is_present
from ke2nt.datasets.expw import ExpW
from ke2nt.errors import DataError, LayoutError

# image, face, top, left, right, bottom, confidence, expression
LINES = ["a.jpg 0 2 4 10 8 90.5 3", "a.jpg 1 0 0 8 8 20 6", "b.jpg 0 5 5 15 15 60 0"]


def test_boxes_are_cut_out(tmp_path):
    split = ExpW(write_expw(tmp_path, LINES)).load("all")
    assert [split.classes[s.label] for s in split.samples] == ["happiness", "neutral", "anger"]
    assert [s.name for s in split.samples] == [
        "image/origin/a.jpg:0",
        "image/origin/a.jpg:1",
        "image/origin/b.jpg:0",
    ]
    whole = decode(tmp_path / "image" / "origin" / "a.jpg")
    np.testing.assert_array_equal(decode(split.samples[0].source), whole[2:8, 4:10])


def test_margin_and_confidence(tmp_path):
    reader = ExpW(write_expw(tmp_path, LINES), margin=0.5, min_confidence=60)
    samples = reader.load("all").samples
    assert len(samples) == 2
    assert decode(samples[0].source).shape == (12, 12, 3)
    (finding,) = reader.remarks()
    assert finding.count == 1


@pytest.mark.parametrize(
    ("lines", "options", "reason"),
    [
        ([*LINES, "a.jpg 2 0 0 8 8 20 7"], {}, r"unknown numbers.*0 anger.*found 7 \(1\)"),
        (["a.jpg 0 2 4 10 8 90.5"], {}, "line 1.*confidence and expression"),
        (["a.jpg 0 8 4 10 2 90.5 3"], {}, "line 1"),
        (LINES, {"margin": -1.0}, "margin is out of range"),
        (LINES, {"min_confidence": 101.0}, "min_confidence is out of range"),
    ],
)
def test_damaged_lists_and_wrong_values(tmp_path, lines, options, reason):
    write_expw(tmp_path, lines)
    with pytest.raises(DataError, match=reason):
        ExpW(tmp_path, **options).load("all")


def test_wrong_layout(tmp_path):
    with pytest.raises(LayoutError, match=r"label/label\.lst"):
        ExpW(tmp_path)


def test_faces_can_be_corrupted(tmp_path):
    clean = ExpW(write_expw(tmp_path, LINES)).load("all")
    changed = corrupt(clean, "low_resolution", 5)
    pairs = list(zip(clean.samples, changed.samples, strict=True))
    assert all(is_present(sample) for _, sample in pairs)
    assert all(decode(a.source).shape == decode(b.source).shape for a, b in pairs)
    assert any((decode(a.source) != decode(b.source)).any() for a, b in pairs)
    with pytest.raises(DataError, match="changed already"):
        corrupt(changed, "jpeg", 1)


def test_digests_tell_boxes_apart(tmp_path):
    write_expw(tmp_path, LINES)
    splits = [ExpW(tmp_path, margin=margin).load("all") for margin in (0.0, 0.0, 0.5)]
    splits.append(corrupt(splits[0], "jpeg", 1))
    digests = [split_digest(split, tmp_path / "cache") for split in splits]
    assert digests[0] == digests[1]
    assert len(set(digests)) == 3
