from __future__ import annotations

import contextlib

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from reader_trees import write_ckplus, write_text

from ke2nt.datasets.ckplus import CKPlus
from ke2nt.errors import DataError, Ke2ntError, LayoutError
from ke2nt.labels import DATASET_LABELS

SEQUENCES = {
    "S005/001": (6, 3.0),
    "S005/002": (5, None),
    "S010/001": (5, 7.0),
    "S011/003": (3, 5.0),
    "S014/001": (8, 1.0),
    "S502/001": (4, 2.0),
}


@pytest.fixture
def root(tmp_path):
    return write_ckplus(tmp_path / "ck", SEQUENCES)


def faces(split):
    return [(s.source.stem, split.classes[s.label]) for s in split.samples]


def test_last_three_frames_and_the_first_as_neutral(root):
    split = CKPlus(root).load("all")
    assert faces(split)[:4] == [
        ("S005_001_00000001", "neutral"),
        ("S005_001_00000004", "disgust"),
        ("S005_001_00000005", "disgust"),
        ("S005_001_00000006", "disgust"),
    ]
    assert faces(split)[8:11] == [
        ("S011_003_00000001", "neutral"),
        ("S011_003_00000002", "happiness"),
        ("S011_003_00000003", "happiness"),
    ]
    assert {s.subject for s in split.samples} == {"S005", "S010", "S011", "S014", "S502"}
    assert not any("S005_002" in name for name, _ in faces(split))
    assert split.classes == DATASET_LABELS["ckplus"]


def test_label_set_without_neutral(root):
    split = CKPlus(root, neutral=False).load("all")
    assert split.classes == DATASET_LABELS["ckplus"][1:]
    assert faces(split) == [f for f in faces(CKPlus(root).load("all")) if f[1] != "neutral"]


def test_folds_never_share_a_subject_and_cover_each_face_once(root):
    everything = {s.name for s in CKPlus(root).load("all").samples}
    tested: list[str] = []
    for fold in range(4):
        reader = CKPlus(root, folds=4, fold=fold)
        assert reader.splits == ("train", "val", "test")
        parts = {split: reader.load(split) for split in reader.splits}
        people = [{s.subject for s in part.samples} for part in parts.values()]
        assert sum(map(len, people)) == len(set.union(*people)) == 5
        assert {s.name for part in parts.values() for s in part.samples} == everything
        tested += [s.name for s in parts["test"].samples]
    assert sorted(tested) == sorted(everything)


def test_subjects_are_dealt_in_turn(root):
    people = {s.subject for s in CKPlus(root, folds=4, fold=0).load("test").samples}
    assert people == {"S005", "S502"}  # first and fifth of the sorted subjects


def test_folder_variants(root):
    expected = faces(CKPlus(root).load("all"))
    (root / "extended-cohn-kanade-images").mkdir()
    (root / "cohn-kanade-images").rename(root / "extended-cohn-kanade-images/cohn-kanade-images")
    (root / "Emotion_labels").mkdir()
    (root / "Emotion").rename(root / "Emotion_labels/Emotion")
    assert faces(CKPlus(root).load("all")) == expected


def test_mac_and_stray_files_are_ignored(root):
    expected = CKPlus(root).load("all")
    for place in ("", "/S005", "/S005/001"):
        write_text(root / f"cohn-kanade-images{place}/.DS_Store", b"\0")
        write_text(root / f"Emotion{place}/.DS_Store", b"\0")
    write_text(root / "cohn-kanade-images/S005/001/._S005_001_00000001.png", b"\0")
    assert CKPlus(root).load("all") == expected


def test_sequence_without_frames_stays_in_the_split(root):
    for path in (root / "cohn-kanade-images/S010/001").iterdir():
        path.unlink()
    split = CKPlus(root).load("all")
    gaps = [s.source.name for s in split.samples if not s.source.is_file()]
    assert gaps == ["S010_001_00000005.png"]


def test_damaged_labels(root):
    path = root / "Emotion/S005/001/S005_001_00000006_emotion.txt"
    for content in ("9", "2.5", "fear", "", "nan"):
        write_text(path, content)
        with pytest.raises(DataError, match=r"S005_001_00000006_emotion\.txt"):
            CKPlus(root).load("all")
    write_text(path, "3.0")
    write_text(path.with_name("S005_001_00000007_emotion.txt"), "3.0")

    with pytest.raises(DataError, match="more than one label"):
        CKPlus(root).load("all")


@given(
    st.one_of(
        st.binary(max_size=60), st.text("0123.567e+-naif\n\x00 ", max_size=20).map(str.encode)
    )
)
@settings(
    max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_fuzzed_labels_raise_only_ke2nt_errors(root, content):
    (root / "Emotion/S005/001/S005_001_00000006_emotion.txt").write_bytes(content)
    with contextlib.suppress(Ke2ntError):
        CKPlus(root).load("all")


def test_options_are_checked(root):
    for options in (
        {"folds": 2},
        {"folds": 10, "fold": 10},
        {"fold": -1},
        {"fold": "one"},
        {"neutral": "no"},
    ):
        with pytest.raises(DataError):
            CKPlus(root, **options)
    with pytest.raises(DataError, match=r"more folds than subjects.*at most 5"):
        CKPlus(root, folds=6, fold=0).load("train")
    with pytest.raises(DataError, match=r"no split 'train'.*one of all"):
        CKPlus(root).load("train")


def test_wrong_layout(root):
    with pytest.raises(LayoutError, match=r"cohn-kanade-images/S005/001.*found 001/, 002/"):
        CKPlus(root / "Emotion" / "S005")
