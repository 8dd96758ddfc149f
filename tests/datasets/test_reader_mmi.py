from __future__ import annotations

import importlib.util

import numpy as np
import pytest
from laboratory_trees import write_mmi
from reader_trees import write_text

from ke2nt.data.images import decode
from ke2nt.data.video_frame import VideoFrame
from ke2nt.datasets.catalog import get_reader
from ke2nt.datasets.mmi import MMI
from ke2nt.errors import DataError, ImageReadError

SESSIONS = {
    # person, view, number of the emotion, frames
    1: (1, 0, 1, 21),
    2: (1, 0, 6, 21),
    3: (2, 1, 4, 21),
    4: (2, 0, None, 21),
    5: (3, 0, 8, 21),
    10: (3, 0, 4, 1),
}


@pytest.fixture
def root(tmp_path):
    return write_mmi(tmp_path, SESSIONS)


def rows(reader):
    split = reader.load("all")
    return [(s.name.split("/")[1], split.classes[s.label], s.subject) for s in split.samples]


def test_middle_frames_and_first_as_neutral(root):
    found = rows(MMI(root))
    assert found[:4] == [
        ("1:first", "neutral", "1"),
        ("1:S001-001-009.png", "anger", "1"),
        ("1:S001-001-010.png", "anger", "1"),
        ("1:S001-001-011.png", "anger", "1"),
    ]
    # one image is an apex; other views, sessions without emotion and unknown numbers are left out
    assert [name for name, _, _ in found[4:]] == [
        "2:first",
        *(f"2:S001-002-{frame:03d}.png" for frame in (9, 10, 11)),
        "10:S003-010-000.png",
    ]


def test_what_is_left_out_is_named(root):
    findings = {finding.kind: finding for finding in MMI(root).remarks()}
    assert findings["unknown_codes"].level == "warning"
    assert "8 (1 sessions)" in findings["unknown_codes"].message
    assert findings["other_views"].examples == ("3",)
    assert findings["no_emotion"].examples == ("4",)


def test_options(root):
    assert ("3:S002-003-010.png", "happiness", "2") in rows(MMI(root, views="0,1"))
    reader = MMI(root, neutral=False, codes={8: "boredom", "1": "anger"})
    assert reader.classes == ("anger", "boredom")
    assert {label for _, label, _ in rows(reader)} == {"anger", "boredom"}
    test = MMI(root, folds=3, fold=0, views="0,1").load("test")
    assert len({sample.subject for sample in test.samples}) == 1
    with pytest.raises(DataError, match=r"codes is not valid.*x: anger"):
        MMI(root, codes={"x": "anger"})


def test_words_of_codes_are_expressions(root):
    reader = MMI(root, neutral=False, codes={1: "Angry", 6: " happy", 8: "suprise"})
    assert reader.classes == ("anger", "happiness", "suprise")
    assert {label for _, label, _ in rows(reader)} == {"anger", "happiness", "suprise"}
    finding = next(f for f in reader.remarks() if f.kind == "unknown_class")
    assert finding.examples == ("'suprise' (nearest to 'surprise')",)
    assert "unknown_class" not in [f.kind for f in MMI(root).remarks()]


def test_one_view_may_be_a_number(root):
    reader = get_reader("mmi", root, {"views": 1})
    assert {label for _, label, _ in rows(reader)} == {"neutral", "happiness"}
    with pytest.raises(DataError, match="invalid views for mmi"):
        get_reader("mmi", root, {"views": True})


@pytest.mark.parametrize(
    ("content", "reason"),
    [("<a>", "cannot be read"), ('<a><Metatag Name="Emotion" Value="x"/></a>', "'?x")],
)
def test_damaged_files(root, content, reason):
    write_text(root / "Sessions" / "1" / "S001-001.xml", content)
    with pytest.raises(DataError, match=reason):
        MMI(root).load("all")


@pytest.mark.skipif(importlib.util.find_spec("av") is None, reason="needs the extra predict")
def test_frames_of_videos(tmp_path):
    import av

    write_mmi(tmp_path, {1: (1, 0, 1, 0)})
    path = tmp_path / "Sessions" / "1" / "S001-001.avi"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mjpeg", rate=25)
        stream.width = stream.height = 16
        stream.pix_fmt = "yuvj420p"
        for level in range(21):
            pixels = np.full((16, 16, 3), level * 12, dtype=np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels)))
        container.mux(stream.encode())

    samples = MMI(tmp_path).load("all").samples
    levels = [int(decode(sample.source).mean()) for sample in samples]
    assert levels == pytest.approx([0, 9 * 12, 10 * 12, 11 * 12], abs=3)
    with pytest.raises(ImageReadError, match="no such frame"):
        VideoFrame(path, 30).read()
    path.write_bytes(b"nothing")
    with pytest.raises(ImageReadError, match="video cannot be read"):
        decode(samples[1].source)
