from __future__ import annotations

import pytest
from laboratory_trees import write_sfew
from reader_trees import write_image

from ke2nt.datasets.forms import find_forms
from ke2nt.datasets.sfew import SFEW
from ke2nt.errors import DataError, LayoutError


def test_train_and_val(tmp_path):
    reader = SFEW(write_sfew(tmp_path))
    assert reader.splits == ("train", "val")
    for split in reader.splits:
        assert [sample.label for sample in reader.load(split).samples] == list(range(7))
    assert [form.reader for form in find_forms(tmp_path)] == ["sfew"]


def test_test_set_has_no_labels(tmp_path):
    reader = SFEW(write_sfew(tmp_path))
    (finding,) = reader.remarks()
    assert "Test has no public labels" in finding.message
    with pytest.raises(DataError, match="no split 'test'"):
        reader.load("test")


def test_original_frames(tmp_path):
    write_sfew(tmp_path, aligned=False)
    with pytest.raises(LayoutError, match=r"no aligned faces.*images=original"):
        SFEW(tmp_path)
    assert len(SFEW(tmp_path, images="original").load("val")) == 7


def test_class_folders_of_other_datasets_are_not_suggested(tmp_path):
    for name in ("angry", "happy", "sad", "fear"):
        write_image(tmp_path / "train" / name / "0.png", size=4)
    assert "sfew" not in [form.reader for form in find_forms(tmp_path)]
