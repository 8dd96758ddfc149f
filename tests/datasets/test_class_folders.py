from __future__ import annotations

import pytest
from reader_trees import write_image, write_text

from ke2nt.datasets.catalog import get_reader
from ke2nt.datasets.class_folders import read_class_tree
from ke2nt.datasets.folder import ImageFolder
from ke2nt.errors import LayoutError


def labels(split):
    return [split.classes[sample.label] for sample in split.samples]


def test_folders_below_expressions_belong_to_the_class(tmp_path):
    for name in ("happy/p1/0.png", "happy/p2/0.png", "sad/0.png"):
        write_image(tmp_path / "all" / name, size=8)
        write_image(tmp_path / "split" / "train" / name, size=8)
    assert labels(ImageFolder(tmp_path / "all").load("all")) == [
        "happiness",
        "happiness",
        "sadness",
    ]
    train = ImageFolder(tmp_path / "split").load("train")
    assert sorted(labels(train)) == ["happiness", "happiness", "sadness"]


def test_split_without_classes_is_left_out_with_a_note(tmp_path):
    write_image(tmp_path / "train" / "happy" / "0.png", size=8)
    write_image(tmp_path / "test" / "0.png", size=8)
    tree = read_class_tree(tmp_path)
    assert list(tree.splits) == ["train"]
    assert [finding.kind for finding in tree.findings()] == ["unlabeled"]


def test_files_that_are_not_read_are_counted_and_named(tmp_path):
    write_image(tmp_path / "happy" / "0.png", size=8)
    write_image(tmp_path / "sad" / "0.png", size=8)
    write_text(tmp_path / "sad" / "1.scan", "x")
    write_text(tmp_path / "sad" / "notes.txt", "x")
    write_text(tmp_path / "fear" / "0.scan", "x")
    findings = {f.kind: f for f in ImageFolder(tmp_path).remarks()}

    assert findings["empty_class"].examples == ("fear (.scan 1)",)
    assert findings["not_images"].examples == ("sad/1.scan",)
    assert len(findings) == 2


@pytest.mark.parametrize("suffix", [".heic", ".avif", ".webp", ".jfif", ".tif", ".cr2", ".JXL"])
def test_class_of_pictures_in_other_formats_is_kept(tmp_path, suffix):
    write_image(tmp_path / "happy" / "0.png", size=8)
    write_text(tmp_path / "sad" / f"0{suffix}", "x")
    reader = ImageFolder(tmp_path)
    assert reader.classes == ("happiness", "sadness")
    assert len(reader.load("all")) == 2


def test_names_of_ck_tell_people(tmp_path):
    for subject in ("S010", "S011"):
        write_image(tmp_path / "happy" / f"{subject}_004_00000017.png", size=8)
    write_image(tmp_path / "sad" / "S012_001_00000009.png", size=8)
    assert [s.subject for s in ImageFolder(tmp_path).load("all").samples] == [
        "S010",
        "S011",
        "S012",
    ]

    # one other name, and the scheme is not that of the dataset
    write_image(tmp_path / "sad" / "me.png", size=8)
    assert {s.subject for s in ImageFolder(tmp_path).load("all").samples} == {None}


def test_parts_of_another_layout_are_no_classes(tmp_path):
    write_image(tmp_path / "Image" / "aligned" / "train_00001_aligned.jpg", size=8)
    write_text(tmp_path / "EmoLabel" / "list_patition_label.txt", "train_00001.jpg 5\n")
    with pytest.raises(LayoutError, match=r"aligned are parts of another layout.*layout of rafdb"):
        get_reader("folder", tmp_path)


def test_names_that_are_not_utf8(tmp_path):
    name = b"caf\xe9.png".decode("utf-8", "surrogateescape")
    try:
        write_image(tmp_path / "happy" / name, size=8)
    except OSError:
        pytest.skip("the file system takes only UTF-8")
    sample = ImageFolder(tmp_path).load("all").samples[0]
    assert sample.name == "happy/caf\\udce9.png"
    assert sample.source.is_file()


def test_folder_between_split_and_classes_is_passed(tmp_path):
    for split in ("train", "test"):
        write_image(tmp_path / split / "images" / "happy" / "0.png", size=8)
        write_image(tmp_path / split / "images" / "sad" / "0.png", size=8)
    reader = ImageFolder(tmp_path)
    assert reader.splits == ("train", "test")
    assert labels(reader.load("test")) == ["happiness", "sadness"]


def test_one_stray_file_does_not_hide_people(tmp_path):
    for word in ("happy", "sad"):
        for i in range(10):
            write_image(tmp_path / word / f"S{i:03}_001_00000001.png", size=8)
    write_image(tmp_path / "sad" / "new.png", size=8)
    subjects = [sample.subject for sample in ImageFolder(tmp_path).load("all").samples]
    assert subjects.count(None) == 1
    assert len(set(subjects)) == 11


def test_what_systems_and_storage_devices_add_is_ignored(tmp_path):
    for name in ("@eaDir", "__MACOSX", "$RECYCLE.BIN", ".git"):
        for parent in ("", "train", "train/happy"):
            write_image(tmp_path / parent / name / "a.png")
    write_image(tmp_path / "train/happy/a.png")
    for name in ("Thumbs.db", "desktop.ini", ".DS_Store"):
        write_text(tmp_path / "train/happy" / name, "x")
    tree = read_class_tree(tmp_path)
    assert [path.name for _, path in tree.images("train")] == ["a.png"]
    assert list(tree.splits) == ["train"]
    assert tree.findings() == []


def test_links_that_lead_back_are_left_out(tmp_path):
    for name in ("happy", "sad"):
        write_image(tmp_path / "data" / name / "a.png")
    write_image(tmp_path / "other" / "b.png")
    try:
        (tmp_path / "data" / "happy" / "loop").symlink_to(tmp_path / "data")
        (tmp_path / "data" / "sad" / "elsewhere").symlink_to(tmp_path / "other")
    except OSError:
        pytest.skip("links are not allowed here")
    samples = ImageFolder(tmp_path / "data").load("all").samples
    assert [s.name for s in samples] == ["happy/a.png", "sad/a.png", "sad/elsewhere/b.png"]
