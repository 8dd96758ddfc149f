"""YOLO labels whose numbers have no names."""

from __future__ import annotations

import pytest
from reader_trees import write_image, write_text

from ke2nt.datasets.yolo import Yolo
from ke2nt.errors import DataError


def write_boxes(root, numbers):
    write_text(root / "data.yaml", "names: [happy, sad]")
    for i, number in enumerate(numbers):
        write_image(root / "train" / "images" / f"{i}.png", i, 8)
        write_text(root / "train" / "labels" / f"{i}.txt", f"{number} .5 .5 .5 .5")
    return root


def test_a_number_without_name_stays_a_class_of_its_own(tmp_path):
    reader = Yolo(write_boxes(tmp_path, [0, 1, 1, 9]))
    assert reader.classes == ("happiness", "sadness", "9")
    assert [sample.label for sample in reader.load("train").samples] == [0, 1, 1, 2]
    (finding,) = reader.remarks()
    assert finding.kind == "unknown_class"
    assert "'9' (1 images)" in finding.message


@pytest.mark.parametrize(
    ("numbers", "reason"),
    [([1, 2, 2], r"found 2 \(2 boxes\)"), ([0, 7, 9], r"found 7 \(1 boxes\), 9 \(1 boxes\)")],
)
def test_numbers_of_another_list_are_refused(tmp_path, numbers, reason):
    with pytest.raises(DataError, match=reason):
        Yolo(write_boxes(tmp_path, numbers))
