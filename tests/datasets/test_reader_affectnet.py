from __future__ import annotations

import contextlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from reader_trees import write_image, write_text

from ke2nt.datasets.affectnet import AffectNet7, AffectNet8
from ke2nt.datasets.catalog import get_reader
from ke2nt.errors import DataError, Ke2ntError, LayoutError

HEADER = (
    "subDirectory_filePath,face_x,face_y,face_width,face_height,facial_landmarks,"
    "expression,valence,arousal"
)
CODES = {0: "neutral", 1: "happiness", 2: "sadness", 3: "surprise"}
CODES |= {4: "fear", 5: "disgust", 6: "anger", 7: "contempt"}


def row(code, name=None):
    return f"{code}/{name or f'{code}.jpg'},134,134,899,899,181.64;530.91,{code},0.78,-0.05"


@pytest.fixture
def csv_root(tmp_path):
    root = tmp_path / "affectnet"
    lists = root / "Manually_Annotated_file_lists"
    write_text(lists / "training.csv", "\n".join([HEADER, *(row(code) for code in range(11))]))
    write_text(lists / "validation.csv", "\n".join([HEADER, row(6), row(7)]))
    for code in range(11):
        write_image(root / "Manually_Annotated_Images" / str(code) / f"{code}.jpg", code)
    return root


@pytest.fixture
def npy_root(tmp_path):
    root = tmp_path / "affectnet"
    for split, codes in (("train_set", range(11)), ("val_set", (6, 7))):
        for number, code in enumerate(codes, start=5):
            write_image(root / split / "images" / f"{number}.jpg", number)
            folder = root / split / "annotations"
            folder.mkdir(exist_ok=True)
            stored = [np.array(str(code)), np.int64(code), np.array([float(code)])][number % 3]
            np.save(folder / f"{number}_exp.npy", stored)
            np.save(folder / f"{number}_aro.npy", np.array("-0.2"))
            np.save(folder / f"{number}_lnd.npy", np.zeros(136))
    return root


@pytest.mark.parametrize("layout", ["csv_root", "npy_root"])
@pytest.mark.parametrize("kind", [AffectNet7, AffectNet8])
def test_both_layouts(request, layout, kind):
    reader = kind(request.getfixturevalue(layout))
    count = len(reader.classes)
    train, val = reader.load("train"), reader.load("val")

    assert train.dataset == f"affectnet{count}"
    assert [train.classes[s.label] for s in train.samples] == list(CODES.values())[:count]
    assert [val.classes[s.label] for s in val.samples] == ["anger", "contempt"][: count - 6]
    assert all(s.source.is_file() for s in train.samples)
    assert reader.splits == ("train", "val")


def test_names_in_the_catalog(csv_root):
    assert len(get_reader("affectnet7", csv_root).classes) == 7
    assert len(get_reader("affectnet8", csv_root).classes) == 8
    with pytest.raises(DataError, match="Did you mean 'affectnet"):
        get_reader("affectnet", csv_root)


def test_annotations_are_in_the_order_of_their_numbers(npy_root):
    names = [s.source.stem for s in AffectNet8(npy_root).load("train").samples]
    assert names == [str(n) for n in range(5, 13)]


def test_only_existing_splits_are_listed(csv_root):
    (csv_root / "Manually_Annotated_file_lists" / "training.csv").unlink()
    reader = AffectNet8(csv_root)
    assert reader.splits == ("val",)
    with pytest.raises(DataError, match="no split 'train'"):
        reader.load("train")


def test_missing_images_and_windows_paths(csv_root):
    lists = csv_root / "Manually_Annotated_file_lists"
    write_text(lists / "validation.csv", f"{HEADER}\r\n{row(6).replace('/', chr(92))}\r\n")
    assert AffectNet8(csv_root).load("val").samples[0].source.is_file()
    write_text(lists / "validation.csv", f"{HEADER}\n{row(6, 'absent.jpg')}\n")
    with pytest.raises(LayoutError, match=r"absent\.jpg"):
        AffectNet8(csv_root).load("val")


def test_missing_image_stays_in_the_split(npy_root):
    (npy_root / "train_set/images/6.jpg").unlink()
    train = AffectNet8(npy_root).load("train")
    assert len(train) == 8
    assert train.samples[1].name == "train_set/images/6.jpg"


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (row(11), r"line 2.*10 no face; found 11 \(1\)"),
        (row(1).replace("1/", "/etc/"), "absolute.*line 2"),
        ("a.jpg,3", "line 2.*expected 9; found 2"),
    ],
)
def test_damaged_lists(csv_root, line, reason):
    write_text(csv_root / "Manually_Annotated_file_lists/validation.csv", f"{HEADER}\n{line}\n")
    with pytest.raises(DataError, match=reason):
        AffectNet8(csv_root).index("val")


@pytest.mark.parametrize(
    ("layout", "where"), [("csv_root", "training.csv, line 3"), ("npy_root", "31_exp.npy")]
)
def test_all_unknown_numbers_are_named_with_their_counts(request, layout, where):
    root = request.getfixturevalue(layout)
    codes = (1, 12, 11, 12)
    if layout == "csv_root":
        lines = [HEADER, *(row(code) for code in codes)]
        write_text(root / "Manually_Annotated_file_lists/training.csv", "\n".join(lines))
    else:
        for number, code in enumerate(codes, start=30):
            np.save(root / f"train_set/annotations/{number}_exp.npy", np.array(str(code)))
    with pytest.raises(DataError, match=rf"{where}.*0 neutral.*found 11 \(1\), 12 \(2\)"):
        AffectNet8(root).index("train")


def test_list_without_a_header(csv_root):
    write_text(csv_root / "Manually_Annotated_file_lists/validation.csv", row(6))
    assert [s.label for s in AffectNet8(csv_root).load("val").samples] == [6]

    # a line with other cells is no row of the list
    write_text(csv_root / "Manually_Annotated_file_lists/validation.csv", "6.jpg,6")
    with pytest.raises(DataError, match="'subDirectory_filePath' is missing"):
        AffectNet8(csv_root).index("val")


@pytest.mark.parametrize(
    "value",
    [np.array([1, 2]), np.array("happy"), np.array(-1), np.array(11), np.array({}, dtype=object)],
)
def test_damaged_annotation_files(npy_root, value):
    np.save(npy_root / "val_set/annotations/5_exp.npy", value, allow_pickle=True)
    with pytest.raises(DataError, match=r"5_exp\.npy"):
        AffectNet8(npy_root).index("val")


@given(st.data())
@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_fuzzed_annotations_raise_only_ke2nt_errors(npy_root, data):
    path = npy_root / "val_set/annotations/5_exp.npy"
    np.save(path, np.int64(6))
    content = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(1, 6))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    path.write_bytes(content[: data.draw(st.integers(0, len(content)))])
    with contextlib.suppress(Ke2ntError):
        AffectNet8(npy_root).index("val")


@pytest.mark.parametrize(
    "names", [[*map(str, range(12))], [*map(str, range(8)), "none"], [f"{i:02d}" for i in range(8)]]
)
def test_numbered_folders_with_further_numbers_or_zeros(tmp_path, names):
    for name in names:
        write_image(tmp_path / "train" / name / "a.png")
    train = AffectNet8(tmp_path).load("train")
    labels = {Path(s.name).parent.name: train.classes[s.label] for s in train.samples}
    assert list(labels) == names[:8] or sorted(labels) == sorted(names[:8])
    assert labels[names[7]] == "contempt"


def test_list_of_words_names_the_numbers_and_another_dataset(tmp_path):
    write_text(tmp_path / "training.csv", "subDirectory_filePath,expression\na.jpg,happy\n")
    with pytest.raises(DataError, match=r"8 none.*dataset manifest"):
        AffectNet8(tmp_path).index("train")
