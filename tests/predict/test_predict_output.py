"""Tables, timelines and annotated images."""

import csv
import errno
import json
import os

import numpy as np
import pytest
from PIL import Image

from ke2nt.errors import ConfigError, MissingExtraError
from ke2nt.plots.timeline import TimelineTrack, plot_timeline
from ke2nt.predict.annotate import annotate, annotate_frame
from ke2nt.predict.annotated_files import AnnotationWriter
from ke2nt.predict.frames import Frame, FrameResult
from ke2nt.predict.label_layout import find_free_place, overlap_area
from ke2nt.predict.result import FaceResult, column_names
from ke2nt.predict.table_writers import WRITERS, DeferredTable, open_writer
from ke2nt.predict.timeline import Timeline
from ke2nt.predict.video import video_frames

CLASSES = ("neutral", 'fröhlich, "sehr"')


def face(time=0.25, track=1, p=0.75, **values):
    return FaceResult(
        **{
            "source": "müde.mp4",
            "status": "ok",
            "frame": 3,
            "time": time,
            "box": (1.0, 2.0, 30.5, 40.0),
            "detector_score": 0.5,
            "track": track,
            "probabilities": {CLASSES[0]: 1 - p, CLASSES[1]: p},
            "label": CLASSES[1],
            "confidence": p,
            "intensity": -0.5,
            "raw_label": CLASSES[0],
            "raw_confidence": 0.6,
            "unvalidated": True,
            **values,
        }
    )


ROWS = (face(), FaceResult("bad.jpg", "unreadable", reason="an empty file"))


def written(path):
    with open_writer(path, CLASSES) as writer:
        for row in ROWS:
            writer.write(row)
    return path


def test_csv(tmp_path):
    path = written(tmp_path / "new" / "rows.csv")
    rows = list(csv.reader(path.open(encoding="utf-8", newline="")))
    assert tuple(rows[0]) == column_names(CLASSES)
    first = dict(zip(*rows[:2], strict=True))
    assert first["source"] == "müde.mp4"
    assert (first["x0"], first["y1"], first["frame"]) == ("1.0", "40.0", "3")
    assert first[f"p_{CLASSES[1]}"] == "0.75"
    assert (first["raw_label"], first["unvalidated"]) == ("neutral", "True")
    second = dict(zip(rows[0], rows[2], strict=True))
    assert (second["label"], second["x0"], second["reason"]) == ("", "", "an empty file")


def test_json_lines(tmp_path):
    path = written(tmp_path / "rows.jsonl")
    lines = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    assert lines == [row.to_dict() for row in ROWS]
    assert lines[0]["box"] == [1.0, 2.0, 30.5, 40.0]
    assert lines[0]["probabilities"][CLASSES[1]] == 0.75


def test_parquet_columns_are_typed_even_if_empty(tmp_path):
    parquet = pytest.importorskip("pyarrow.parquet")
    table = parquet.read_table(written(tmp_path / "rows.parquet"))
    assert table.to_pylist() == [row.to_row(CLASSES) for row in ROWS]
    assert str(table.schema.field("frame").type) == "int64"
    with open_writer(tmp_path / "none.parquet", CLASSES):
        pass
    assert parquet.read_table(tmp_path / "none.parquet").schema == table.schema


def test_parquet_in_several_groups(tmp_path, monkeypatch):
    parquet = pytest.importorskip("pyarrow.parquet")
    monkeypatch.setattr("ke2nt.predict.table_writers._ROW_GROUP", 2)
    with open_writer(tmp_path / "many.parquet", CLASSES) as writer:
        for number in range(5):
            writer.write(face(time=float(number)))
    file = parquet.ParquetFile(tmp_path / "many.parquet")
    assert file.metadata.num_row_groups == 3
    assert file.read()["time"].to_pylist() == [0, 1, 2, 3, 4]


def test_rows_are_flushed_as_they_are_written(tmp_path):
    with open_writer(tmp_path / "rows.csv", CLASSES) as writer:
        writer.write(ROWS[0])
        assert len((tmp_path / "rows.csv").read_text(encoding="utf-8").splitlines()) == 2


def test_unknown_and_missing_formats_are_errors(tmp_path, monkeypatch):
    with pytest.raises(ConfigError, match=r"expected \.csv, \.jsonl, \.ndjson, \.parquet"):
        open_writer(tmp_path / "rows.xlsx", CLASSES)
    monkeypatch.setitem(__import__("sys").modules, "pyarrow", None)
    with pytest.raises(MissingExtraError, match=r"ke2nt\[tables\]"):
        open_writer(tmp_path / "rows.parquet", CLASSES)


def test_timeline_is_the_mean_of_each_bin():
    line = Timeline(CLASSES)
    for time, p in ((0.0, 0.2), (0.01, 0.4), (1.0, 0.9)):
        line.add(face(time=time, p=p, intensity=10 * p))
    line.add(face(time=1.0, track=2, intensity=None))
    line.add(ROWS[1])
    one, two = line.tracks()
    assert (one.number, two.number) == (1, 2)
    assert one.probabilities[:, 1] == pytest.approx([0.3, 0.9])
    assert one.intensities == pytest.approx([3, 9])
    assert np.isnan(two.intensities).all()
    assert one.times == pytest.approx([0.5 / 32, 1 + 0.5 / 32])


def test_timeline_memory_is_bounded():
    line = Timeline(CLASSES, max_bins=64, max_tracks=4)
    for number in range(5000):
        line.add(face(time=number * 0.7, track=1 + number // 100 if number % 2 else 1))
    tracks = line.tracks()
    assert len(tracks) == 4
    assert tracks[0].number == 1
    assert all(len(track.times) <= 64 for track in tracks)
    assert tracks[0].times[-1] == pytest.approx(4999 * 0.7, abs=line.seconds)
    assert line.seconds * 64 >= 5000 * 0.7


def is_png(data):
    return data.startswith(b"\x89PNG") and len(data) > 3000


def test_timeline_plot():
    times = np.array([0.0, 1.0, 2.0, 30.0])
    half = np.full((4, 2), 0.5)
    tracks = [
        TimelineTrack(number, times, half, np.array([np.nan, 1, 2, 3])) for number in range(12)
    ]
    assert is_png(plot_timeline(tracks, CLASSES, seconds=1.0, title="100 $ mp4"))
    assert is_png(plot_timeline([], CLASSES, seconds=1.0))
    lone = TimelineTrack(1, times[:1], half[:1], np.array([np.nan]))
    assert plot_timeline([lone], CLASSES, seconds=1.0) == plot_timeline(
        [lone], CLASSES, seconds=1.0
    )


def test_boxes_are_drawn_on_a_copy():
    pixels = np.full((90, 120, 3), 50, np.uint8)
    drawn = annotate_frame(pixels, [face(box=(20.0, 40.0, 80.0, 80.0)), ROWS[1]])
    assert (pixels == 50).all()
    changed = (drawn != 50).any(axis=2)
    assert changed[40, 20:81].all()
    assert changed[40:81, 80].all()
    assert not changed[85:, :].any()
    assert not changed[45:75, 25:75].any()
    edge = annotate_frame(pixels, [face(box=(-50.0, -50.0, 500.0, 500.0), label=None)])
    assert edge.shape == pixels.shape

    # a small photo is enlarged by a whole number, so that a label is legible
    photo = annotate(pixels, [face(box=(20.0, 40.0, 80.0, 80.0))])
    assert photo.shape == (270, 360, 3)
    assert (photo != 50).any(axis=2)[120, 60:241].all()


def changed_outside(pixels, drawn, boxes):
    """Pixels that are drawn on, without the boxes' own lines."""
    changed = (drawn[: pixels.shape[0]] != pixels).any(axis=2)
    lines = np.zeros_like(changed)
    for x0, y0, x1, y1 in boxes:
        lines[int(y0) : int(y1) + 1, int(x0) : int(x1) + 1] = True
        inner = slice(int(y0) + 4, int(y1) - 3), slice(int(x0) + 4, int(x1) - 3)
        lines[inner] = False
    return changed & ~lines


def test_labels_do_not_cover_faces():
    pixels = np.full((400, 600, 3), 50, np.uint8)
    boxes = [
        (40.0 + 190 * i, 60.0 + 150 * j, 120.0 + 190 * i, 140.0 + 150 * j)
        for i in range(3)
        for j in range(2)
    ]
    drawn = annotate(pixels, [face(box=box) for box in boxes])
    assert drawn.shape == pixels.shape  # there is room for all of them
    changed = changed_outside(pixels, drawn, boxes)
    for x0, y0, x1, y1 in boxes:
        assert not changed[int(y0) + 4 : int(y1) - 3, int(x0) + 4 : int(x1) - 3].any()
    assert changed.any()


def test_labels_without_room_are_below_the_photo():
    pixels = np.full((400, 400, 3), 50, np.uint8)
    whole = annotate(pixels, [face(box=(0.0, 0.0, 400.0, 400.0))])
    assert whole.shape[0] > 415
    assert (whole[5:395, 5:395] == 50).all()

    # several faces: their numbers are at their boxes, the labels below
    boxes = [(x, y, x + 200.0, y + 200.0) for x in (0.0, 200.0) for y in (0.0, 200.0)]
    four = annotate(pixels, [face(box=box) for box in boxes])
    assert four.shape[0] > 410
    assert (four[10:15, 3:10] != 50).any()
    assert (four[60:195, 10:190] == 50).all()

    # a frame keeps its size
    assert annotate_frame(pixels, [face(box=box) for box in boxes]).shape == pixels.shape


def test_photo_without_a_face_says_so():
    pixels = np.full((300, 400, 3), 50, np.uint8)
    drawn = annotate(pixels, [FaceResult("a.jpg", "no_face")])
    assert drawn.shape[0] > 310
    assert (drawn[:300] == 50).all()
    frame = annotate_frame(pixels, [FaceResult("a.mp4", "no_face")])
    assert frame.shape == pixels.shape
    assert (frame != 50).any()


@pytest.mark.parametrize(
    ("status", "reason", "text"),
    [
        ("ok", None, "1: happiness 75 %"),
        ("low_confidence", None, "1: not sure"),
        ("poor_quality", "dark, blurred", "1: too dark and blurred"),
    ],
)
def test_labels_are_words(monkeypatch, status, reason, text):
    written = []
    monkeypatch.setattr(
        "ke2nt.predict.annotate._Label.draw", lambda label, *_: written.append(label.text)
    )
    label = "happiness" if status == "ok" else None
    row = face(status=status, reason=reason, label=label, box=(100.0, 100.0, 200.0, 200.0))
    annotate(np.full((400, 400, 3), 50, np.uint8), [row])
    assert written == [text]


def test_free_place():
    def find(box, size, obstacles=()):
        return find_free_place(box, size, (100, 100), [box, *obstacles], 2)

    # above, then below, right and left
    assert find((40.0, 40.0, 60.0, 60.0), (30, 10)) == (40, 28, 70, 38)
    assert find((40.0, 5.0, 60.0, 60.0), (30, 10)) == (40, 62, 70, 72)
    assert find((40.0, 5.0, 60.0, 95.0), (30, 10)) == (62, 5, 92, 15)
    assert find((70.0, 5.0, 95.0, 95.0), (30, 10)) == (38, 5, 68, 15)
    assert find((0.0, 0.0, 100.0, 100.0), (30, 10)) is None

    # at the border it is moved into the image; an obstacle moves it on
    assert find((90.0, 40.0, 110.0, 60.0), (30, 10)) == (70, 28, 100, 38)
    obstacle = (50.0, 20.0, 90.0, 30.0)
    assert find((40.0, 40.0, 60.0, 60.0), (30, 10), [obstacle]) == (40, 62, 70, 72)
    assert overlap_area((0, 0, 2, 2), (1, 1, 3, 3)) == 1
    assert overlap_area((0, 0, 2, 2), (2, 0, 3, 3)) == 0


def result(source, kind="image"):
    frame = Frame(source, np.full((40, 60, 3), 99, np.uint8), None if kind == "image" else 0, 0.0)
    return FrameResult(frame, (face(box=(5.0, 15.0, 30.0, 35.0)),))


def test_annotated_files_never_share_a_name(tmp_path):
    with AnnotationWriter(CLASSES, annotated=tmp_path / "a", timelines=tmp_path / "t") as writer:
        for source in ("x/1.jpg", "y/1.jpg", "1.png"):
            writer.add("image", result(source))
        writer.add("image", FrameResult(Frame("bad.png", None, problem="x"), (ROWS[1],)))
        writer.add("video", result("1.mp4", "video"))
        writer.add("video", FrameResult(Frame("bad.mp4", None, problem="x"), (ROWS[1],)))
        writer.add("video", result("z/1.mp4", "video"))

    # a number is added to a name already used
    found = sorted(path.name for path in (tmp_path / "a").iterdir())
    assert found == [
        "1-2.annotated.jpg",
        "1-2.annotated.mp4",
        "1.annotated.jpg",
        "1.annotated.mp4",
        "1.annotated.png",
    ]
    assert sorted(p.name for p in (tmp_path / "t").iterdir()) == [
        "1-2.timeline.png",
        "1.timeline.png",
    ]

    written = {*(tmp_path / "a").iterdir(), *(tmp_path / "t").iterdir()}
    assert len(writer.written) == 7
    assert set(writer.written) == written

    # a photo is enlarged to hold its label, a video keeps its size
    assert Image.open(tmp_path / "a" / "1.annotated.png").size == (300, 200)


def test_a_video_that_is_named_twice_is_written_twice(tmp_path):
    def frames():
        for index in range(3):
            frame = Frame("a.mp4", np.full((40, 60, 3), 99, np.uint8), index, index / 10)
            yield FrameResult(frame, (face(time=index / 10, box=(5.0, 15.0, 30.0, 35.0)),))

    with AnnotationWriter(CLASSES, annotated=tmp_path, timelines=None) as writer:
        for result in (*frames(), *frames()):
            writer.add("video", result)
    assert [path.name for path in writer.written] == ["a.annotated.mp4", "a-2.annotated.mp4"]
    assert [len(list(video_frames(path))) for path in writer.written] == [3, 3]


def test_annotated_copy_of_a_name_that_is_not_utf8_has_a_plain_name(tmp_path):
    writer = AnnotationWriter(CLASSES, annotated=tmp_path, timelines=None)
    frame = Frame("caf\\udce9.png", np.zeros((40, 40, 3), np.uint8))
    writer.add("image", FrameResult(frame, [face(frame=None, source=frame.source)]))
    assert [path.name for path in writer.written] == ["caf_.annotated.png"]


@pytest.mark.parametrize("suffix", [".csv", ".jsonl"])
def test_a_full_disk_is_named_with_the_table(tmp_path, monkeypatch, suffix):
    def fail(writer, row):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(WRITERS[suffix], "write", fail)
    table = DeferredTable(tmp_path / f"rows{suffix}", CLASSES)
    with pytest.raises(OSError, match=f"No space left.*rows{suffix}"), table:
        table.write(FaceResult("a.jpg", status="no_face"))
