from __future__ import annotations

import contextlib
import re

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from reader_trees import write_image, write_text

from ke2nt.data.images import decode
from ke2nt.datasets.manifest import Manifest
from ke2nt.errors import DataError, Ke2ntError, LayoutError


@pytest.fixture
def root(tmp_path):
    rows = [
        "path,label,split,subject,attr:gender,attr:age",
        "a/1.png,happy,train,p1,female,",
        "a/2.png,neutral,validation,,male,20-39",
        'a/3.png,happiness,train,p1,"x, y",',
    ]
    write_text(tmp_path / "manifest.csv", "\n".join(rows))
    for seed in (1, 2, 3):
        write_image(tmp_path / "a" / f"{seed}.png", seed)
    return tmp_path


def test_columns(root):
    reader = Manifest(root)
    assert reader.splits == ("train", "val")
    assert reader.classes == ("neutral", "happiness")

    first, third = reader.load("train").samples
    assert (first.name, first.label, first.subject) == ("a/1.png", 1, "p1")
    assert first.attributes == {"gender": "female"}
    assert third.attributes == {"gender": "x, y"}

    second = reader.load("val").samples[0]
    assert second.subject is None
    assert second.attributes == {"gender": "male", "age": "20-39"}


def test_root_may_be_the_file(root):
    moved = root / "faces.csv"
    (root / "manifest.csv").rename(moved)
    assert len(Manifest(moved).load("train")) == 2


def test_relative_absolute_and_windows_paths(root):
    other = root / "lists" / "manifest.csv"
    paths = ["..\\a\\1.png", "../a/1.png", str(root / "a" / "1.png")]
    write_text(other, "\ufeffPath,Label\r\n" + "\r\n".join(f"{p},sad" for p in paths))
    split = Manifest(other).load("all")

    assert [s.name for s in split.samples] == [
        "../a/1.png",
        "../a/1.png#2",
        (root / "a" / "1.png").as_posix(),
    ]
    assert len({decode(s.source).tobytes() for s in split.samples}) == 1


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("path,labl\na.png,sad\n", "line 1.*'label' is missing|'label' is missing.*Did you mean"),
        ("path,label,sujbect\na.png,sad,x\n", "unknown column 'sujbect'.*Did you mean 'subject'"),
        ("path,label,attr:\na.png,sad,x\n", "unknown column 'attr:'"),
        ("path,label,label\na.png,sad,sad\n", "'label' appears twice"),
        ("path,label\na.png,sad\nb.png\n", "line 3.*expected 2; found 1"),
        ("path,label\na.png,\n", "line 2|label is empty"),
        ("path,label,split\na.png,sad,\n", "split is empty"),
        ("path,label\n", "lists no image"),
        ("", "'path' is missing.*no header"),
    ],
)
def test_errors_name_the_problem(root, content, reason):
    write_text(root / "manifest.csv", content)
    with pytest.raises(DataError, match=reason) as caught:
        Manifest(root)
    assert "manifest.csv" in str(caught.value)


def test_binary_file(root):
    (root / "manifest.csv").write_bytes(np.arange(256, dtype=np.uint8).tobytes())
    with pytest.raises(DataError, match="cannot be read"):
        Manifest(root)


def test_classes_option(root):
    assert Manifest(root, classes="happiness,neutral").load("val").samples[0].label == 1
    with pytest.raises(DataError, match="'neutral' is not in the label set"):
        Manifest(root, classes="happiness")


def test_no_manifest(tmp_path):
    with pytest.raises(LayoutError, match="columns path, label"):
        Manifest(tmp_path)
    with pytest.raises(LayoutError, match="no such folder"):
        Manifest(tmp_path / "absent.csv")


@given(st.text('path,label\n"a/.\\\r\x00\x1césplit:', max_size=60), st.booleans())
@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_fuzzed_manifest_raises_only_ke2nt_errors(root, content, headed):
    write_text(root / "manifest.csv", ("path,label,split\n" if headed else "") + content)
    with contextlib.suppress(Ke2ntError):
        reader = Manifest(root)
        for split in reader.splits:
            reader.load(split)


@pytest.mark.parametrize(
    ("file", "listed", "right"),
    [
        ("images/a.b.png", "a.b.png", "write images/a.b.png in place of a.b.png"),
        ("x/images/a.png", "a.png", "write x/images/a.png"),
        ("a.b.png", "a.b", "write a.b.png in place of a.b"),
        ("a.png", "a.jpg", "write a.png in place of a.jpg"),
        ("faces/a.png", "a.jpg", "write faces/a.png in place of a.jpg"),
    ],
)
def test_images_that_lie_elsewhere_are_named(tmp_path, file, listed, right):
    write_image(tmp_path / file)
    write_text(tmp_path / "manifest.csv", f"path,label\n{listed},happy\n")
    with pytest.raises(LayoutError, match=re.escape(right)):
        Manifest(tmp_path).load("all")
