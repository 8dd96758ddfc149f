"""What `data check` says of how a dataset is read, and of copies in disguise."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image
from reader_trees import write_image, write_text

from ke2nt.datasets.catalog import get_reader
from ke2nt.datasets.check import check_dataset


def kinds(reader, **options):
    return {
        finding.kind: finding for finding in check_dataset(reader, quiet=True, **options).findings
    }


def smooth_face(seed):
    """A picture without detail, as a hash of 16 cells sees it."""
    pixels = np.random.default_rng(seed).integers(0, 256, (6, 6, 3), dtype=np.uint8)
    return Image.fromarray(pixels).resize((48, 48))


def test_one_class(tmp_path):
    write_image(tmp_path / "train" / "happy" / "0.png", 0, 8)
    write_image(tmp_path / "test" / "happy" / "0.png", 1, 8)
    report = check_dataset(get_reader("folder", tmp_path), quiet=True)
    finding = next(f for f in report.findings if f.kind == "single_class")
    assert finding.level == "warning"
    assert "of one class, happiness" in finding.message
    assert report.usable
    assert not report.clean

    # a second class in one split is enough
    write_image(tmp_path / "test" / "sad" / "0.png", 2, 8)
    assert "single_class" not in kinds(get_reader("folder", tmp_path))


def test_mirrored_copies(tmp_path):
    for split, name in (("train", "happy"), ("train", "sad"), ("test", "sad")):
        (tmp_path / split / name).mkdir(parents=True)
    smooth_face(0).save(tmp_path / "train" / "happy" / "a.png")
    smooth_face(1).save(tmp_path / "train" / "sad" / "b.png")
    mirrored = smooth_face(0).transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    mirrored.save(tmp_path / "test" / "sad" / "c.png")
    reader = get_reader("folder", tmp_path)

    finding = kinds(reader, near=True)["near_duplicates"]
    assert finding.level == "warning"
    assert finding.examples == ("train: train/happy/a.png ≈ mirrored test: test/sad/c.png",)
    assert "near_duplicates" not in kinds(reader)


def test_unreadable_formats_are_counted_and_named(tmp_path):
    for name in ("happy/0.png", "sad/0.png"):
        write_image(tmp_path / name, size=8)
    write_text(tmp_path / "sad" / "1.nef", b"II*\0" + bytes(60))
    finding = kinds(get_reader("folder", tmp_path))["unreadable"]
    assert finding.message == "1 of 3 images of all cannot be read"
    assert finding.examples == ("all: sad/1.nef (a camera's raw file; convert it to PNG or JPEG)",)


@pytest.mark.parametrize(
    ("names", "kind", "text"),
    [
        (range(1, 8), "numbered_classes", "1 surprise, 2 fear"),
        (
            ["surprise", "fear", "disgust", "happy", "sad", "angery", "neutral"],
            "unknown_class",
            "'angery' (nearest to 'anger')",
        ),
    ],
)
def test_remarks_of_a_reader(tmp_path, names, kind, text):
    for name in names:
        write_image(tmp_path / "train" / str(name) / "0.png", size=8)
    assert text in kinds(get_reader("rafdb", tmp_path))[kind].message
    assert kind in kinds(get_reader("corruptions", tmp_path, of="rafdb"))


def test_classes_without_a_place_in_the_label_set_are_left_out(tmp_path):
    names = ["neutral", "happy", "sad", "surprise", "fear", "disgust", "anger", "contempt", "None"]
    for name in names:
        write_image(tmp_path / "train" / name / "0.png", size=8)
    reader = get_reader("affectnet7", tmp_path)
    assert kinds(reader)["left_out_classes"].examples == ("None", "contempt")
    assert len(reader.load("train")) == 7
