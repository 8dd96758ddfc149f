"""Videos: frames, times, damage, tracks, and memory that does not grow."""

import itertools
import os

import numpy as np
import pytest
from PIL import Image

from ke2nt.errors import ConfigError, DataError, MissingExtraError
from ke2nt.predict import camera, video
from ke2nt.predict.frames import Frame
from ke2nt.predict.recognizer import Recognizer
from ke2nt.predict.video import is_video_name, video_frames
from ke2nt.predict.video_writer import VideoWriter

FPS = 10


@pytest.fixture(scope="module")
def clip(tmp_path_factory, portraits, scene):
    """Forty frames: one person walks to the right; from frame 20 a second one stands there."""
    file = tmp_path_factory.mktemp("clips") / "müde クリップ.mp4"
    writer = VideoWriter(file)
    for number in range(40):
        placed = [(portraits[0], 8 + 2 * number, 10)]
        if number >= 20:
            placed.append((portraits[1], 200, 60))
        writer.write(scene(320, 160, *placed), number / FPS)
    writer.close()
    return file


class NearWall:
    """As WallDetector, for the colors of a compressed video."""

    def __init__(self, detector, wall):
        self.detector, self.wall = detector, np.array(wall)

    def detect(self, image):
        far = np.abs(image.astype(int) - self.wall).max(axis=2) > 40
        clean = np.where(far[..., None], image, self.wall).astype(np.uint8)
        return [face for face in self.detector.detect(clean) if face.area > 900]


@pytest.fixture
def watcher(model, wall_detector):
    return Recognizer(model, detector=NearWall(wall_detector, (7, 90, 200)), batch_size=8)


def test_frames_have_indices_times_and_pixels(clip):
    frames = list(video_frames(clip))
    assert [frame.index for frame in frames] == list(range(40))
    assert [frame.time for frame in frames] == pytest.approx([n / FPS for n in range(40)])
    assert all(frame.pixels.shape == (160, 320, 3) for frame in frames)
    assert all(frame.source == str(clip) for frame in frames)
    assert np.abs(frames[0].pixels[0, 0].astype(int) - (7, 90, 200)).max() < 25


def test_every_and_limit(clip):
    assert [f.index for f in video_frames(clip, every=7, limit=4)] == [0, 7, 14, 21]
    for bad in ({"every": 0}, {"limit": 0}):
        with pytest.raises(ConfigError, match="must be positive"):
            list(video_frames(clip, **bad))


def test_people_are_tracked(watcher, clip):
    rows = list(watcher.predict_video(clip))
    by_frame = {n: list(group) for n, group in itertools.groupby(rows, key=lambda row: row.frame)}
    assert set(by_frame) == set(range(40))
    assert {row.track for n in range(40) for row in by_frame[n]} == {1, 2}
    assert [row.track for row in by_frame[39]] == [1, 2]
    assert [len(by_frame[n]) for n in (0, 19, 20, 39)] == [1, 1, 2, 2]
    assert by_frame[39][0].box[0] > by_frame[0][0].box[0] + 60


def test_smoothing_follows_the_raw_predictions(watcher, clip):
    raw = list(watcher.predict_video(clip, smoothing=0, limit=12))
    smooth = list(watcher.predict_video(clip, smoothing=0.5, limit=12))
    state = None
    for a, b in zip(raw, smooth, strict=True):
        values = np.array(list(a.probabilities.values()))
        gain = 1 - np.exp(-1 / FPS / 0.5)
        state = values if state is None else state + gain * (values - state)
        assert list(b.probabilities.values()) == pytest.approx(state)
        assert (b.raw_label, b.raw_confidence) == (a.label, a.confidence)
        assert (a.raw_label, a.raw_confidence) == (a.label, a.confidence)


def test_damaged_file_is_read_as_far_as_possible(watcher, clip, tmp_path):
    whole = clip.read_bytes()
    start = whole.index(b"mdat") + 4
    broken = bytearray(whole)
    rng = np.random.default_rng(0)
    late = start + (len(whole) - start) * 3 // 4
    broken[late : late + 600] = rng.integers(0, 256, 600, np.uint8).tobytes()
    (tmp_path / "broken.mp4").write_bytes(broken)

    # what comes before and after the damage is read
    rows = list(watcher.predict_video(tmp_path / "broken.mp4"))
    statuses = {row.status for row in rows}
    assert "ok" in statuses
    assert "unreadable" in statuses
    bad = next(row for row in rows if row.status == "unreadable")
    assert bad.reason
    assert bad.frame is not None


def make_film(path, count=40, codec="mpeg4", **options):
    """A film whose header comes first and counts its frames."""
    av = pytest.importorskip("av")
    if codec not in av.codecs_available:
        pytest.skip(f"PyAV was built without {codec}")
    with av.open(str(path), "w", options=options) as container:
        stream = container.add_stream(codec, rate=FPS)
        stream.width, stream.height = 64, 48
        stream.pix_fmt = "yuvj420p" if codec == "mjpeg" else "yuv420p"
        rng = np.random.default_rng(0)
        for _ in range(count):
            pixels = rng.integers(0, 256, (48, 64, 3), np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
        container.mux(stream.encode())
    return path


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "an empty file"),
        (b"<!DOCTYPE html>", "a web page"),
        (b"version https://git-lfs.github.com/spec/v1", "git lfs pull"),
        (b"\0\0\0\x18ftypisom" + bytes(99), "the end of the file is missing"),
        (b"hello", "no video that FFmpeg reads"),
    ],
)
def test_files_that_are_no_video_say_what_they_are(tmp_path, content, reason):
    (tmp_path / "film.mp4").write_bytes(content)
    (frame,) = video_frames(tmp_path / "film.mp4")
    assert frame.pixels is None
    assert reason in frame.problem


@pytest.mark.parametrize(
    ("suffix", "codec"),
    [
        (".mp4", "mpeg4"),
        *(
            (suffix, codec)
            for suffix in (".avi", ".mkv")
            for codec in ("mpeg4", "mjpeg", "libx264")
        ),
    ],
)
def test_file_that_ends_early_says_up_to_where_it_was_read(tmp_path, suffix, codec):
    options = {"movflags": "faststart"} if suffix == ".mp4" else {}
    whole = make_film(tmp_path / f"whole{suffix}", codec=codec, **options)
    frames = list(video_frames(whole))
    assert len(frames) == 40
    assert all(frame.problem is None for frame in frames)

    # a download that stopped half-way
    content = whole.read_bytes()
    cut = tmp_path / f"cut{suffix}"
    cut.write_bytes(content[: len(content) // 2])
    *frames, last = video_frames(cut)
    readable = [frame for frame in frames if frame.pixels is not None]
    assert 5 < len(readable) < 30
    assert last.pixels is None
    assert "ends early" in last.problem
    assert f"{len(readable)} frames up to {readable[-1].time:.2f} s" in last.problem
    if suffix != ".mkv":
        assert "promises 40 frames" in last.problem

    # frames that are left out on purpose are not missing
    assert [f.index for f in video_frames(whole, every=7, limit=3)] == [0, 7, 14]
    assert all(frame.problem is None for frame in video_frames(whole, every=7))


def test_name_that_is_not_utf8_is_read_and_printed(tmp_path):
    film = make_film(tmp_path / "film.avi", count=2)
    name = os.fsencode(tmp_path) + b"/caf\xe9.avi"
    try:
        os.rename(film, name)
    except OSError:
        pytest.skip("this file system takes UTF-8 names only")
    frames = list(video_frames(os.fsdecode(name)))
    assert [frame.problem for frame in frames] == [None, None]
    assert frames[0].source.endswith("caf\\udce9.avi")


def test_unreadable_video_has_one_row(watcher, tmp_path):
    (tmp_path / "text.mp4").write_text("no video")
    Image.fromarray(np.zeros((8, 8, 3), np.uint8)).save(tmp_path / "none.png")
    for name in ("text.mp4", "gone.mp4"):
        (row,) = watcher.predict_video(tmp_path / name)
        assert (row.status, row.frame) == ("unreadable", None)
    assert row.reason == "no such file"


@pytest.mark.parametrize(("workers", "ahead"), [(1, 0), (2, 6), (4, 12)])
def test_long_videos_do_not_need_more_memory(
    model, wall_detector, monkeypatch, portraits, scene, workers, ahead
):
    taken = 0
    wall_detector.for_threads = lambda: wall_detector
    watcher = Recognizer(model, detector=wall_detector, batch_size=8, workers=workers)

    def hour(source, *, every, limit):
        nonlocal taken
        photo = scene(120, 90, (portraits[0], 10, 10))
        for number in range(600):
            taken += 1
            yield Frame("long.mp4", photo, number, number * 6.0)

    monkeypatch.setattr("ke2nt.predict.recognizer.video_frames", hour)
    stream = watcher.predict_video("long.mp4")
    for count, row in enumerate(stream, start=1):
        assert row.status == "ok"
        assert taken <= count + 8 + ahead
    assert count == 600


def test_odd_sizes_and_repeated_times_are_written(tmp_path):
    writer = VideoWriter(tmp_path / "new" / "a.mp4")
    for time, shape in ((0.0, (51, 33)), (0.5, (51, 33)), (0.5, (60, 40)), (2.0, (51, 33))):
        writer.write(np.full((*shape, 3), 100, np.uint8), time)
    assert not (tmp_path / "new" / "a.mp4").exists()
    writer.close()
    writer.close()
    frames = list(video_frames(tmp_path / "new" / "a.mp4"))
    assert [frame.pixels.shape for frame in frames] == [(50, 32, 3)] * 4
    assert [frame.time for frame in frames] == pytest.approx([0, 0.5, 0.501, 2.0], abs=1e-3)
    assert [p.name for p in (tmp_path / "new").iterdir()] == ["a.mp4"]
    VideoWriter(tmp_path / "none.mp4").close()
    assert not (tmp_path / "none.mp4").exists()


def test_nothing_is_left_of_a_video_that_cannot_be_written(tmp_path):
    resource = pytest.importorskip("resource")
    noise = np.random.default_rng(0).integers(0, 256, (120, 160, 3), np.uint8)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    writer = VideoWriter(tmp_path / "a.mp4")

    def write():
        for index in range(200):
            writer.write(np.roll(noise, 7 * index, axis=0), index / 10)

    try:
        # as on a full disk
        resource.setrlimit(resource.RLIMIT_FSIZE, (4096, limits[1]))
        with pytest.raises(OSError, match=r"[^.]a\.mp4"):
            write()
        with pytest.raises(OSError, match=r"[^.]a\.mp4"):
            writer.close()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    writer.close()
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(("angle", "corner"), [(0, (0, 0)), (90, (-1, 0)), (-90, (0, -1))])
def test_frames_are_rotated_upright(angle, corner):
    class Turned:
        rotation = angle

        def to_ndarray(self, format):
            pixels = np.zeros((4, 6, 3), np.uint8)
            pixels[0, 0] = 255
            return pixels

    assert video._get_pixels(Turned())[corner].tolist() == [255] * 3


class FakeCamera:
    """Opens as number 0; gives three frames with a failure between, then nothing."""

    released = 0

    def __init__(self, index):
        self.index = index
        blue = np.zeros((4, 4, 3), np.uint8)
        blue[..., 0] = 255
        self.left = [(True, blue), (False, None), (True, blue), (True, blue)]

    def isOpened(self):
        return self.index == 0

    def read(self):
        return self.left.pop(0) if self.left else (False, None)

    def release(self):
        FakeCamera.released += 1


def test_camera_is_a_video_that_ends_by_itself(monkeypatch):
    cv2 = pytest.importorskip("cv2")
    monkeypatch.setattr(cv2, "VideoCapture", FakeCamera)
    frames = list(video_frames(0))
    assert frames[0].pixels[0, 0].tolist() == [0, 0, 255]
    assert frames[1].problem == "the camera returned no frame"
    assert [frame.pixels is not None for frame in frames[:4]] == [True, False, True, True]
    assert len(frames) == 4 + camera._MAX_FAILURES

    times = [frame.time for frame in frames if frame.time is not None]
    assert times == sorted(times)
    assert [f.index for f in video_frames(0, every=2, limit=2)] == [0, 2]
    assert FakeCamera.released == 2
    with pytest.raises(DataError, match="camera 5 cannot be opened"):
        video_frames(5)


def test_video_names_and_missing_packages(monkeypatch, clip):
    assert is_video_name("a/B.MP4")
    assert not is_video_name("._b.mp4")
    assert not is_video_name("b.jpg")
    monkeypatch.setitem(__import__("sys").modules, "av", None)
    with pytest.raises(MissingExtraError, match=r"ke2nt\[predict\]"):
        video_frames(clip)
