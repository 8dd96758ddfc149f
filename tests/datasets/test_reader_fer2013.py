from __future__ import annotations

import contextlib

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from reader_trees import write_image, write_text

from ke2nt.data.images import decode
from ke2nt.data.tensors import FaceTensors
from ke2nt.datasets.check import check_dataset
from ke2nt.datasets.fer2013 import FER2013
from ke2nt.errors import DataError, ImageReadError, Ke2ntError, LayoutError

PIXELS = " ".join(str(v) for v in range(9))


@pytest.fixture
def root(tmp_path):
    rows = [f"0,{PIXELS},Training", f"6,{PIXELS},PublicTest", "3,7 7 7 255,PrivateTest"]
    write_text(tmp_path / "fer2013.csv", "emotion,pixels,Usage\n" + "\n".join(rows) + "\n")
    return tmp_path


def test_csv(root):
    reader = FER2013(root)
    train, val, test = (reader.load(split) for split in ("train", "val", "test"))

    assert [s.classes[s.samples[0].label] for s in (train, val, test)] == [
        "anger",
        "neutral",
        "happiness",
    ]
    assert np.array_equal(train.samples[0].source, np.arange(9).reshape(3, 3))
    assert test.samples[0].source.dtype == np.uint8
    assert train.samples[0].name == "fer2013.csv:2"


def test_column_order_and_blanks_of_the_other_release(tmp_path):
    write_text(
        tmp_path / "icml_face_data.csv", f"emotion, Usage, pixels\r\n4,Training,{PIXELS}\r\n"
    )
    assert FER2013(tmp_path).load("train").samples[0].label == 4


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        (f"7,{PIXELS},Training", r"line 2.*6 neutral; found 7 \(1\)\. 8 labels are"),
        (f"0,{PIXELS},Test", "line 2.*'Test'"),
    ],
)
def test_damaged_rows(root, row, reason):
    write_text(root / "fer2013.csv", f"emotion,pixels,Usage\n{row}\n")
    with pytest.raises(DataError, match=reason):
        FER2013(root).load("train")


def test_all_unknown_numbers_are_named_with_their_counts(root):
    rows = [f"{code},{PIXELS},Training" for code in (0, 7, 6, 12, 7, -1)]
    write_text(root / "fer2013.csv", "\n".join(["emotion,pixels,Usage", *rows]))
    found = r"line 3.*0 anger.*found 7 \(2\), -1 \(1\), 12 \(1\)\. Correct or delete"
    with pytest.raises(DataError, match=found):
        FER2013(root).load("train")


@pytest.mark.parametrize("pixels", ["1 2 3", "1 2 3 256", "1 2 3 -4", "", "1 x 3 4"])
def test_rows_with_damaged_pixels_are_unreadable_images(root, pixels):
    rows = f"0,{pixels},Training\n2,{PIXELS},Training\n"
    write_text(root / "fer2013.csv", f"emotion,pixels,Usage\n{rows}")
    train = FER2013(root).load("train")

    assert train.labels().tolist() == [0, 2]
    with pytest.raises(ImageReadError, match=r"line 2.*square number of gray levels"):
        decode(train.samples[0].source)
    images = FaceTensors(train, 8)
    assert list(images.failed) == ["fer2013.csv:2"]
    assert images.usable.tolist() == [1]

    report = check_dataset(FER2013(root), ["train"], quiet=True)
    finding = next(f for f in report.findings if f.kind == "unreadable")
    assert "1 of 2 images" in finding.message
    assert "delete the rows" in finding.hint


def test_folders(tmp_path):
    for split in ("train", "test"):
        for seed, name in enumerate(("angry", "happy", "Neutral", "surprise")):
            write_image(tmp_path / split / name / "a.jpg", seed)
    reader = FER2013(tmp_path)

    assert reader.splits == ("train", "test")

    split = reader.load("test")
    assert [split.classes[s.label] for s in split.samples] == [
        "neutral",
        "anger",
        "happiness",
        "surprise",
    ]

    # A folder that is not one of the seven classes
    write_image(tmp_path / "test" / "contempt" / "a.jpg")
    with pytest.raises(LayoutError, match="contempt is not a class"):
        FER2013(tmp_path)


def test_wrong_layout(tmp_path):
    write_image(tmp_path / "faces" / "a.jpg")
    with pytest.raises(LayoutError, match=r"fer2013\.csv or icml_face_data\.csv.*found faces/"):
        FER2013(tmp_path)


@given(st.text('0123456789 ,"\nTrainig\x00', max_size=80))
@settings(
    max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_fuzzed_csv_raises_only_ke2nt_errors(root, content):
    write_text(root / "fer2013.csv", "emotion,pixels,Usage\n" + content)
    with contextlib.suppress(Ke2ntError):
        FER2013(root).load("train")
