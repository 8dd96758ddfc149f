from __future__ import annotations

import contextlib

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from reader_trees import write_image, write_rafdb, write_text

from ke2nt.datasets.rafdb import RAFDB
from ke2nt.errors import DataError, Ke2ntError, LayoutError

LINES = ["train_00001.jpg 5", "train_00002.jpg 1", "test_0001.jpg 7", "train_00003.jpg 4"]
LANDMARKS = "".join(f"{x}.5\t{x + 1}.25\n" for x in range(5))


@pytest.fixture
def root(tmp_path):
    return write_rafdb(tmp_path / "basic", LINES)


def test_labels_count_from_one(root):
    reader = RAFDB(root)
    train, test = reader.load("train"), reader.load("test")

    assert [train.classes[s.label] for s in train.samples] == ["sadness", "surprise", "happiness"]
    assert [test.classes[s.label] for s in test.samples] == ["neutral"]
    assert train.samples[0].name == "Image/aligned/train_00001_aligned.jpg"
    assert train.samples[0].source == root / "Image/aligned/train_00001_aligned.jpg"
    assert train.samples[0].attributes == {}
    assert reader.splits == ("train", "test")


def test_demographic_attributes(root):
    folder = root / "Annotation" / "manual"
    write_text(folder / "train_00001_manu_attri.txt", LANDMARKS + "1\n2\n4\n")
    write_text(
        folder / "train_00002_manu_attri.txt", LANDMARKS.replace("\n", "\r\n") + "2\r\n0\r\n0"
    )
    samples = RAFDB(root).load("train").samples

    assert samples[0].attributes == {"gender": "female", "race": "Asian", "age": "70+"}
    assert samples[1].attributes == {"gender": "unsure", "race": "Caucasian", "age": "0-3"}
    assert samples[2].attributes == {}


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (LANDMARKS + "1\n2\n", "gender, race and age"),
        (LANDMARKS + "1\n3\n0\n", "race.*0 to 2.*'3'"),
        ("", "too few"),
    ],
)
def test_damaged_attributes(root, content, reason):
    write_text(root / "Annotation/manual/train_00001_manu_attri.txt", content)
    with pytest.raises(DataError, match=reason) as caught:
        RAFDB(root).load("train")
    assert "train_00001_manu_attri.txt" in str(caught.value)


def test_original_photographs(root):
    with pytest.raises(LayoutError, match=r"Image/original/train_00001\.jpg"):
        RAFDB(root, images="original").load("train")
    write_image(root / "Image/original/train_00002.jpg")
    assert RAFDB(root, images="original").load("train").samples[0].source.name == "train_00001.jpg"
    with pytest.raises(DataError, match="aligned, original"):
        RAFDB(root, images="cropped")


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("train_00004.jpg 0", r"line 5.*1 surprise.*found 0 \(1\)"),
        ("train_00004.jpg 8", r"line 5.*7 neutral.*found 8 \(1\)"),
        ("train_00004.jpg", "line 5.*'train_00001.jpg 5'"),
        ("val_00004.jpg 3", "line 5"),
    ],
)
def test_damaged_lines_name_their_line(root, line, reason):
    write_text(root / "EmoLabel/list_patition_label.txt", "\n".join([*LINES, line]))
    with pytest.raises(DataError, match=reason):
        RAFDB(root).load("train")


@pytest.mark.parametrize(
    "change",
    [
        lambda lines: ["image,label", *(line.replace(" ", ",") for line in lines)],
        lambda lines: ["# faces", *(f"{line}.0" for line in lines)],
        lambda lines: [line.replace(" ", "|") for line in lines],
    ],
    ids=["header", "floats", "bars"],
)
def test_lists_of_other_programs(root, change):
    file = root / "EmoLabel" / "list_patition_label.txt"
    expected = [sample.label for sample in RAFDB(root).load("train").samples]
    write_text(file, "\n".join(change(file.read_text().splitlines())))
    assert [sample.label for sample in RAFDB(root).load("train").samples] == expected


@pytest.mark.parametrize(
    ("lines", "found"),
    [
        (LINES, r"found 0 \(1\), 9 \(2\)\. If these are compound"),
        # without a 7, the list may count from 0
        (LINES[:2], r"found 0 \(1\), 9 \(2\)\. If the list counts from 0.*rafdb_compound"),
    ],
)
def test_all_unknown_numbers_are_named_with_their_counts(root, lines, found):
    lines = [*lines, "train_00004.jpg 9", "train_00005.jpg 0", "test_0006.jpg 9"]
    write_text(root / "EmoLabel/list_patition_label.txt", "\n".join(lines))
    with pytest.raises(DataError, match=rf"line {len(lines) - 2}\).*{found}"):
        RAFDB(root).load("train")


def test_unknown_numbers_in_tables_beside_class_folders(tmp_path):
    for number in range(1, 8):
        write_image(tmp_path / "DATASET" / "train" / str(number) / f"train_{number}.jpg", number)
    write_text(tmp_path / "train_labels.csv", "image,label\na.jpg,9\nb.jpg,1\nc.jpg,9\nd.jpg,12\n")
    with pytest.raises(DataError, match=r"csv, line 2.*1 surprise.*found 9 \(2\), 12 \(1\)"):
        RAFDB(tmp_path)


def test_windows_file(root):
    expected = RAFDB(root).load("train")
    content = "\ufeff" + "\r\n".join(f"basic\\{line}".replace(" ", "\t") for line in LINES)
    write_text(root / "EmoLabel/list_patition_label.txt", content)
    assert RAFDB(root).load("train") == expected


def test_wrong_layout(root):
    with pytest.raises(LayoutError, match=r"EmoLabel/list_patition_label\.txt.*one folder down"):
        RAFDB(root.parent)


@given(
    st.one_of(
        st.binary(max_size=100), st.text("train_0 15.jpg/\\\n\x00 ", max_size=60).map(str.encode)
    )
)
@settings(
    max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_fuzzed_label_list_raises_only_ke2nt_errors(root, content):
    (root / "EmoLabel/list_patition_label.txt").write_bytes(content)
    with contextlib.suppress(Ke2ntError):
        RAFDB(root).load("train")


@pytest.mark.parametrize("start", ["/home/me/RAF/", "C:\\Users\\me\\", "~/raf/", ""])
def test_absolute_paths_in_lists_of_single_splits(tmp_path, start):
    start = start or f"{tmp_path}/"
    # the same names in two splits, so that the name alone would not tell them apart
    for split, label in (("train", 1), ("test", 7)):
        write_image(tmp_path / split / "x1.jpg", label)
        write_text(tmp_path / f"{split}.txt", f"{start}{split}/x1.jpg {label}\n")
    reader = RAFDB(tmp_path)
    for split in ("train", "test"):
        (sample,) = reader.load(split).samples
        assert sample.source == tmp_path / split / "x1.jpg"
    # paths of this computer are nothing to remark on
    counts = [f.count for f in reader.remarks() if f.kind == "foreign_paths"]
    assert counts == ([] if start.startswith(str(tmp_path)) else [2])


def test_absolute_paths_without_a_file_here(tmp_path):
    write_text(tmp_path / "train.txt", "/home/me/RAF/train/x1.jpg 1\n/home/me/RAF/train/x2.jpg 7\n")
    with pytest.raises(DataError, match=r"another computer.*/home/me/RAF/train/x1\.jpg"):
        RAFDB(tmp_path).load("train")

    # an image of this computer that is not below the root is missing, too
    root, image = tmp_path / "root", write_image(tmp_path / "other" / "x1.jpg")
    write_text(root / "train.txt", f"{image} 1\n{image} 7\n")
    with pytest.raises(LayoutError, match="x1"):
        RAFDB(root).load("train")


def test_list_of_six_numbers_is_refused_until_it_is_said_where_they_count_from(tmp_path):
    root = write_rafdb(tmp_path, [f"train_0000{i}.jpg {i}" for i in range(1, 7)])
    with pytest.raises(DataError, match="first_label=0"):
        RAFDB(root).index("train")
    assert RAFDB(root, first_label=1).index("train").labels().tolist() == [0, 1, 2, 3, 4, 5]
    assert RAFDB(root, first_label=0).index("train").labels().tolist() == [1, 2, 3, 4, 5, 6]


def test_list_without_the_last_number_is_remarked_on(tmp_path):
    root = write_rafdb(tmp_path, ["train_00001.jpg 3", "train_00002.jpg 5"])
    assert [finding.kind for finding in RAFDB(root).remarks()] == ["first_label"]
    assert not list(RAFDB(root, first_label=1).remarks())
