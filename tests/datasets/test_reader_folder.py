from __future__ import annotations

import pytest
from reader_trees import write_image, write_text

from ke2nt.datasets.folder import ImageFolder
from ke2nt.errors import DataError, LayoutError


def faces(split):
    return [(s.name, split.classes[s.label]) for s in split.samples]


def test_splits_over_classes(tmp_path):
    for split in ("Test", "train", "validation"):
        for name in ("sad", "Happy", "neutral"):
            write_image(tmp_path / split / name / "1.png")
    write_image(tmp_path / "train" / "sad" / "0.JPEG")
    write_text(tmp_path / "train" / "sad" / "notes.txt", "no image")

    # Splits and classes under their usual names, in the usual order
    reader = ImageFolder(tmp_path)
    assert reader.splits == ("train", "val", "test")
    assert reader.classes == ("neutral", "happiness", "sadness")
    assert sorted(faces(reader.load("train"))) == [
        ("train/Happy/1.png", "happiness"),
        ("train/neutral/1.png", "neutral"),
        ("train/sad/0.JPEG", "sadness"),
        ("train/sad/1.png", "sadness"),
    ]
    assert len(reader.load("val")) == 3


def test_classes_at_the_top(tmp_path):
    for name in ("b", "a"):
        write_image(tmp_path / name / "x.png")
    reader = ImageFolder(tmp_path)
    assert reader.splits == ("all",)
    assert reader.classes == ("a", "b")


def test_known_words_become_expressions_and_other_words_stay(tmp_path):
    for name in ("sad", "in_pain", "Happy", "Confused"):
        write_image(tmp_path / name / "x.png")
    reader = ImageFolder(tmp_path)
    assert reader.classes == ("happiness", "sadness", "Confused", "in_pain")
    assert ("in_pain/x.png", "in_pain") in faces(reader.load("all"))


def test_classes_option(tmp_path):
    for name in ("happy", "sad"):
        write_image(tmp_path / name / "x.png")
    reader = ImageFolder(tmp_path, classes="sadness, happiness,anger")

    assert reader.classes == ("sadness", "happiness", "anger")
    assert faces(reader.load("all")) == [("happy/x.png", "happiness"), ("sad/x.png", "sadness")]
    assert ImageFolder(tmp_path, classes=["sad", "happy"]).classes == ("sad", "happy")
    with pytest.raises(DataError, match="'sad' is not in the label set"):
        ImageFolder(tmp_path, classes=("happiness",))
    with pytest.raises(DataError, match="different"):
        ImageFolder(tmp_path, classes="happy,happy")


def test_two_spellings_of_one_class_are_merged(tmp_path):
    for name in ("happy", "happiness"):
        write_image(tmp_path / name / "x.png")
    reader = ImageFolder(tmp_path)
    assert reader.classes == ("happiness",)
    assert len(reader.load("all")) == 2


def test_wrong_layouts(tmp_path):
    write_image(tmp_path / "flat" / "x.png")
    with pytest.raises(LayoutError, match=r"happiness/….png.*found x\.png"):
        ImageFolder(tmp_path / "flat")

    write_image(tmp_path / "mixed" / "happy" / "x.png")
    write_image(tmp_path / "mixed" / "train" / "happy" / "x.png")
    with pytest.raises(LayoutError, match="found happy/, train/"):
        ImageFolder(tmp_path / "mixed")


def test_loose_pictures_are_told_where_they_belong(tmp_path):
    for i in range(3):
        write_image(tmp_path / f"{i}.png", i)
    with pytest.raises(LayoutError, match=r"Its 3 pictures lie in no class folder.*manifest\.csv"):
        ImageFolder(tmp_path)
