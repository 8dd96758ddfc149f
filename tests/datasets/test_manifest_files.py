"""Lists as spreadsheets, pandas and other systems write them."""

from __future__ import annotations

import unicodedata

import pytest
from reader_trees import write_image, write_text

from ke2nt.datasets.catalog import get_reader
from ke2nt.datasets.manifest import Manifest
from ke2nt.errors import DataError, LayoutError

LINES = ["path,label", "img/sad1.png,sad", "img/happy 2.png,happy"]
EXPECTED = [("img/sad1.png", "sadness"), ("img/happy 2.png", "happiness")]


@pytest.fixture
def folder(tmp_path):
    write_image(tmp_path / "img" / "sad1.png", 1, 8)
    write_image(tmp_path / "img" / "happy 2.png", 2, 8)
    return tmp_path


def faces(reader):
    split = reader.load("all")
    assert all(sample.source.is_file() for sample in split.samples)
    return [(s.name, split.classes[s.label]) for s in split.samples]


FORMS = {
    "semicolons": "\n".join(LINES).replace(",", ";"),
    "tabs": "\n".join(LINES).replace(",", "\t"),
    "excel": "sep=;\r\n" + "\r\n".join(LINES).replace(",", ";"),
    "bom": b"\xef\xbb\xbf" + "\r\n".join(LINES).encode(),
    "utf16": "\n".join(LINES).encode("utf-16"),
    "utf16 without mark": "\n".join(LINES).encode("utf-16-be"),
    "utf32": "\n".join(LINES).encode("utf-32"),
    "comments": "\n# faces\n\n" + "\n".join(LINES) + "\n# the end",
    "nameless column": "\n".join([f"{LINES[0]},", *LINES[1:]]),
    "spaced names": "Image Name,target\n" + "\n".join(LINES[1:]),
    "addresses": "path,label\nfile:///home/x/img/sad1.png,sad\n/home/x/img/happy 2.png,happy",
    "index": "\n".join([f",{LINES[0]}", f"0,{LINES[1]}", f"1,{LINES[2]}"]),
    "unnamed": "\n".join([f"Unnamed: 0,{LINES[0]}", f"0,{LINES[1]}", f"1,{LINES[2]}"]),
    "drive": "path,label\nC:\\data\\img\\sad1.png,sad\nC:\\data\\img\\happy 2.png,happy",
    "home": "path,label\n/home/x/img/sad1.png,sad\n/home/x/img/happy 2.png,happy",
    "backslashes": "\n".join(LINES).replace("/", "\\"),
    "dots": "path,label\n./img/sad1.png,sad\nimg/../img/happy 2.png,happy",
    "case": "Path,Label\nimg/sad1.png,Sad\nimg/happy 2.png,HAPPY",
    "aliases": "image,emotion\nimg/sad1.png,sad\nimg/happy 2.png,happy",
    "quoted": 'path,label\n"img/sad1.png","sad"\n"img/happy 2.png","happy"\n\n\n',
    "numbered words": "path,label\nimg/sad1.png,4 sad\nimg/happy 2.png,3_happy",
}


@pytest.mark.parametrize("form", FORMS)
def test_forms_of_one_list(folder, form):
    write_text(folder / "list.csv", FORMS[form])
    assert faces(Manifest(folder / "list.csv")) == EXPECTED


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("path label\nimg/sad1.png sad", "Separate the cells with commas"),
        ('"path;label"\n"img/sad1.png;sad"', "Separate the cells with commas"),
        ("path,class,emotion\nimg/sad1.png,1,sad", "Rename one of class, emotion to 'label'"),
        ("path,gt\nimg/sad1.png,sad", "Other names that are known: class"),
        ("path,label\nhttps://x.org/1.png,sad", "line 2.*Download the images"),
        ("path,label\nimg/sad1.png,0.2", "values, not classes.*found 0.2"),
        ("path,label\nimg/sad1.png,", "line 2.*or delete the row"),
        ("version https://git-lfs.github.com/spec/v1", "a Git LFS pointer"),
        (b"PK\x03\x04\x80", "an Excel file"),
        ("path,label\né.png,sad".encode("latin-1"), "line 2.*iconv -f WINDOWS-1252"),
        ('[{"path": "img/sad1.png"}]', "seems to be JSON"),
    ],
)
def test_lists_that_cannot_be_read_say_what_to_do(folder, content, reason):
    write_text(folder / "list.csv", content)
    with pytest.raises(DataError, match=reason):
        Manifest(folder / "list.csv")


def test_percent_signs_stand_for_other_characters(folder):
    write_text(folder / "list.csv", "path,label\nimg/happy%202.png,happy")
    (sample,) = Manifest(folder / "list.csv").load("all").samples
    assert sample.source == folder / "img" / "happy 2.png"


def test_an_unknown_number_stays_a_class_of_its_own(folder):
    rows = "\n".join(f"img/sad1.png,{label}" for label in ("5.0", "4", "4", "9"))
    write_text(folder / "list.csv", f"path,label\n{rows}")
    reader = Manifest(folder / "list.csv", codes="rafdb")
    assert reader.classes == ("happiness", "sadness", "9")
    (finding,) = reader.remarks()
    assert "'9' (1 images)" in finding.message


def test_names_in_another_case_or_unicode_form(folder):
    name = "img/é.png"
    write_image(folder / unicodedata.normalize("NFD", name), 3, 8)
    composed = unicodedata.normalize("NFC", name)
    write_text(folder / "list.csv", f"path,label\nimg/SAD1.PNG,sad\n{composed},happy")
    found = [s.source.is_file() for s in Manifest(folder / "list.csv").load("all").samples]
    assert found == [True, True]


def test_name_that_fits_two_files_is_not_guessed(folder):
    write_image(folder / "img" / "SAD1.png", 4, 8)
    write_text(folder / "list.csv", "path,label\nimg/Sad1.PNG,sad\nimg/sad1.png,sad")
    if len(list((folder / "img").iterdir())) < 3:
        pytest.skip("the file system ignores case")
    found = [s.source.is_file() for s in Manifest(folder / "list.csv").load("all").samples]
    assert found == [False, True]


def test_one_beginning_is_removed_from_all_paths(folder):
    # removing more from one path than from another could make two images one
    write_text(folder / "list.csv", "path,label\nC:\\a\\img\\sad1.png,sad\nD:\\img\\sad1.png,happy")
    with pytest.raises(DataError, match=r"another computer.*C:/a/img/sad1\.png"):
        Manifest(folder / "list.csv")
    write_text(folder / "list.csv", FORMS["drive"])
    notes = [finding.kind for finding in Manifest(folder / "list.csv").remarks()]
    assert notes == ["foreign_paths"]


def test_numbers_need_an_option(folder):
    write_text(folder / "list.csv", "path,label\nimg/sad1.png,5\nimg/happy 2.png,4")
    file = folder / "list.csv"
    with pytest.raises(DataError, match=r"are numbers.*4 \(1\), 5 \(1\).*codes=DATASET.*classes="):
        Manifest(file)
    assert faces(Manifest(file, codes="rafdb")) == EXPECTED
    five = ("surprise", "fear", "disgust", "happiness", "sadness")
    assert faces(Manifest(file, classes=five)) == EXPECTED
    # whether six classes are counted from 0 or from 1 is unclear
    with pytest.raises(DataError, match="do not fit the label set"):
        Manifest(file, classes=(*five, "anger"))
    write_text(file, "path,label\nimg/sad1.png,9")
    with pytest.raises(DataError, match=r"no such class numbers.*5 sadness.*found 9"):
        Manifest(file, codes="rafdb")


def test_unknown_columns_are_attributes(folder):
    write_text(folder / "list.csv", "path,label,confidence\nimg/sad1.png,sad,0.3")
    reader = Manifest(folder / "list.csv")
    assert reader.load("all").samples[0].attributes == {"confidence": "0.3"}
    assert [finding.kind for finding in reader.remarks()] == ["attribute_columns"]


def test_misspelled_class_is_named_and_the_rest_is_kept(folder):
    write_text(folder / "list.csv", "path,label\nimg/sad1.png,angery\nimg/happy 2.png,happy")
    reader = Manifest(folder / "list.csv")
    assert reader.classes == ("happiness", "angery")
    (finding,) = reader.remarks()
    assert finding.level == "warning"
    assert "'angery' (1 images, nearest to 'anger')" in finding.message


def test_folder_without_manifest_names_the_lists_in_it(folder):
    write_text(folder / "labels.csv", FORMS["semicolons"])
    with pytest.raises(LayoutError, match=r"Name the file itself: .*labels\.csv"):
        get_reader("manifest", folder)


def test_other_encodings_are_refused(folder):
    (folder / "list.csv").write_bytes("path,label\nimg/é.png,sad".encode("latin-1"))
    with pytest.raises(DataError, match="Save it as UTF-8"):
        Manifest(folder / "list.csv")


@pytest.mark.parametrize("line", ["img/sad1.png 3 0.9", "img/sad1.png,sad", "img/sad1.png;sad"])
def test_list_without_a_header(folder, line):
    write_text(folder / "list.csv", f"{line}\n")
    with pytest.raises(DataError, match="no header: write path,label as its first line"):
        Manifest(folder / "list.csv")
