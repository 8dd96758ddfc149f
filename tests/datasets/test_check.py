from __future__ import annotations

import json

import numpy as np
import pytest
from PIL import Image
from reader_trees import write_image, write_text

from ke2nt.datasets.check import check_dataset
from ke2nt.datasets.duplicates import NEAR_BITS, difference_hash, find_near_pairs
from ke2nt.datasets.folder import ImageFolder
from ke2nt.datasets.info import dataset_info
from ke2nt.datasets.manifest import Manifest


@pytest.fixture
def root(tmp_path):
    """Two splits of two classes, four different pictures in each, nothing wrong with them."""
    seed = 0
    for split in ("train", "test"):
        for name in ("happiness", "sadness"):
            for i in range(2):
                write_image(tmp_path / split / name / f"{i}.png", seed, 32)
                seed += 1
    return tmp_path


def check(root, **options):
    report = check_dataset(ImageFolder(root), quiet=True, workers=2, **options)
    return report, {finding.kind: finding for finding in report.findings}


def test_good_dataset_has_no_findings(root):
    report, findings = check(root, near=True)
    assert findings == {}
    assert report.usable
    assert report.clean
    assert report.splits["train"]["classes"] == {"happiness": 2, "sadness": 2}


def test_unreadable_and_blank_images(root):
    write_text(root / "train/sadness/broken.png", "no image")
    write_text(root / "train/sadness/empty.jpg", "")
    Image.new("RGB", (8, 8), "black").save(root / "test/happiness/black.png")
    report, findings = check(root)
    broken = findings["unreadable"]

    assert broken.level == "warning"
    assert broken.count == 2
    assert broken.examples[0].startswith("train: train/sadness/broken.png (content that is no")
    assert "an empty file" in broken.examples[1]
    assert findings["blank"].examples == ("test: test/happiness/black.png",)
    assert report.usable
    assert not report.clean


def test_split_without_any_readable_image_is_an_error(root):
    for path in (root / "test").rglob("*.png"):
        path.write_bytes(b"")
    report, findings = check(root)

    assert findings["unreadable"].level == "error"
    assert report.findings[0].level == "error"
    assert not report.usable
    assert check(root, splits=["train"])[0].usable


def test_duplicates_are_found_across_file_formats(root):
    original = Image.open(root / "train/happiness/0.png")
    original.save(root / "test/happiness/copy.bmp")
    original.save(root / "train/sadness/copy.tif")
    report, findings = check(root)
    line = (
        "train: train/happiness/0.png = train: train/sadness/copy.tif"
        " = test: test/happiness/copy.bmp"
    )

    for kind in ("duplicates_across_splits", "conflicting_labels", "duplicates_within_split"):
        assert findings[kind].count == 1
        assert findings[kind].examples == (line,)
    assert all(finding.hint.endswith(".") for finding in report.findings)


def test_copy_within_a_class_is_only_a_note(root):
    Image.open(root / "train/happiness/0.png").save(root / "train/happiness/copy.png")
    report, findings = check(root)
    assert set(findings) == {"duplicates_within_split"}
    assert report.clean


def test_missing_images_and_subjects_in_two_splits(root):
    rows = ["path,label,split,subject"]
    rows += ["train/happiness/0.png,happy,train,p", "train/sadness/0.png,sad,train,q"]
    rows += ["test/happiness/0.png,happy,test,p", "test/sadness/absent.png,sad,test,r"]
    write_text(root / "manifest.csv", "\n".join(rows))
    report = check_dataset(Manifest(root), quiet=True)
    findings = {finding.kind: finding for finding in report.findings}

    assert findings["missing"].examples == ("test: test/sadness/absent.png",)
    assert findings["missing"].level == "warning"
    assert findings["subject_leakage"].examples == ("p: test, train",)
    assert findings["subject_leakage"].message.startswith("1 of 3 subjects")
    assert report.splits["test"]["images_missing"] == 1
    assert report.splits["train"]["subjects"] == 2


def test_absent_classes_and_imbalance(root):
    for i in range(30):
        write_image(root / "train/happiness" / f"more{i}.png", 100 + i)
    for path in (root / "test/sadness").iterdir():
        path.unlink()
    findings = check(root)[1]

    assert findings["absent_class"].message == "test has no samples of sadness"
    assert findings["imbalance"].level == "note"
    assert findings["imbalance"].message.startswith("train has 16 times")
    assert findings["imbalance"].examples == ("happiness 32", "sadness 2")


def test_near_duplicates_only_on_request(root):
    smooth = np.asarray(
        Image.fromarray(
            np.random.default_rng(5).integers(0, 256, (6, 6, 3), dtype=np.uint8)
        ).resize((96, 96), Image.Resampling.BICUBIC)
    )
    Image.fromarray(smooth).save(root / "train/sadness/x.png")
    brighter = np.clip(smooth.astype(int) * 0.8 + 20, 0, 255).astype(np.uint8)
    Image.fromarray(brighter).resize((80, 80)).save(root / "test/sadness/x.jpg", quality=85)

    assert check(root)[1] == {}

    near = check(root, near=True)[1]["near_duplicates"]
    assert near.level == "warning"
    assert near.examples == ("train: train/sadness/x.png ≈ test: test/sadness/x.jpg",)


def test_near_pairs_equal_a_comparison_of_all_with_all():
    rng = np.random.default_rng(0)
    bits = rng.integers(0, 2, (60, 256), dtype=np.uint8)
    for i in range(30):  # near copies with 0 to 9 changed bits
        bits[30 + i] = bits[i]
        bits[30 + i, rng.choice(256, i % 10, replace=False)] ^= 1
    expected = [
        (i, j)
        for i in range(60)
        for j in range(i + 1, 60)
        if (bits[i] != bits[j]).sum() <= NEAR_BITS
    ]

    assert len(expected) == 24
    assert find_near_pairs([np.packbits(row).tobytes() for row in bits]) == expected
    assert find_near_pairs([]) == []


def test_difference_hash_of_ramps():
    rising = np.tile(np.arange(0, 255, 5, dtype=np.uint8), (51, 1))
    assert difference_hash(rising) == b"\xff" * 32
    assert difference_hash(rising[:, ::-1].copy()) == b"\x00" * 32


def test_reports_are_plain_json(root):
    report = check(root)[0]
    assert json.loads(json.dumps(report.to_dict()))["usable"] is True
    info = json.loads(json.dumps(dataset_info(ImageFolder(root))))
    assert info["splits"]["test"]["image_size"] == [32, 32]
    assert info["splits"]["test"]["imbalance"] == 1.0
    assert info["classes"] == ["happiness", "sadness"]
