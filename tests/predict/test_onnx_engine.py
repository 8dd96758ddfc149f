"""The engine "onnx": which file it takes, what it computes from it, and what it refuses."""

from __future__ import annotations

import numpy as np
import pytest
from tiny_onnx import CLASSES, tiny_onnx

from ke2nt.checkpoints.folder_config import CONFIG, read_config
from ke2nt.checkpoints.model_folder import update_folder
from ke2nt.errors import CacheError, CheckpointError, ConfigError, ModelError
from ke2nt.export import onnx_export
from ke2nt.export.engine_file import network_key, open_engine_file
from ke2nt.models.calibration import Calibration
from ke2nt.predict.onnx_classifier import OnnxModel
from ke2nt.predict.recognizer import Recognizer

RED = np.full((20, 30, 3), (255, 0, 0), np.uint8)
GRAY = np.full((9, 9, 3), 100, np.uint8)
PRIOR = {"data": {"neutral": 0.6, "happiness": 0.3, "anger": 0.1}}
CARD = {"class_prior": {**PRIOR, "logits": PRIOR["data"], "facts": {}}}


@pytest.fixture
def write(tmp_path):
    def write(name="tiny.onnx", **options):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(tiny_onnx(**options))
        return path

    return write


def recognize(path, **options):
    return Recognizer.from_pretrained(path, detector=None, check_quality=False, **options)


def softmax(*logits):
    powers = np.exp(np.array(logits) - max(logits))
    return powers / powers.sum()


def shares(face):
    return np.array(list(face.probabilities.values()))


def test_probabilities_and_intensities_are_those_of_the_file(write):
    red, gray = recognize(write())([RED, GRAY])
    assert np.allclose(shares(red.faces[0]), softmax(9, 0, 0), atol=1e-6)
    assert np.allclose(shares(gray.faces[0]), 1 / 3, atol=1e-6)
    face = red.faces[0]
    assert (face.label, face.intensity) == ("neutral", None)
    assert face.unscaled_intensity == pytest.approx(4.5)


def test_calibration_threshold_and_scale_are_applied(write):
    scale = {"zero": dict.fromkeys(CLASSES, 0.5), "unit": dict.fromkeys(CLASSES, 2.0)}
    calibration = Calibration(temperature=3.0, min_confidence=0.95).to_dict()
    path = write(calibration=calibration, card={"predict": {"intensity": scale}})
    (red,) = recognize(path)(RED)
    assert np.allclose(shares(red.faces[0]), softmax(3, 0, 0), atol=1e-6)
    assert red.faces[0].status == "low_confidence"

    recognizer = recognize(path, min_confidence=0.0)
    assert recognizer(RED)[0].faces[0].intensity == pytest.approx((4.5 - 0.5) / 2)
    recognizer.set_neutral(GRAY)
    moved = (4.5 - 4.5 * 100 / 255) / 2
    assert recognizer(RED)[0].faces[0].intensity == pytest.approx(moved, abs=1e-5)
    recognizer.set_neutral(None)
    assert recognizer(RED)[0].faces[0].intensity == pytest.approx(2.0)


def test_thresholds_by_class_are_applied(write):
    calibration = Calibration(class_min_confidence=(0.9, 0.5, 1.0)).to_dict()
    path = write(calibration=calibration)
    images = [RED, RED[:, :, ::-1], GRAY]
    statuses = [result.faces[0].status for result in recognize(path)(images)]
    assert statuses == ["ok", "low_confidence", "low_confidence"]
    assert all(result.faces[0].label for result in recognize(path, min_confidence=0.0)(images))


def test_what_is_no_face_and_unfamiliar_faces_are_told(write):
    # red 9, 0; green 0, 9; yellow 9, 9; each a face score and a distance
    green, yellow = RED[:, :, [1, 0, 2]], RED[:, :, [0, 0, 2]]
    path = write(familiarity={"min_face": 4.0, "max_distance": 5.0})
    faces = [result.faces[0] for result in recognize(path)([RED, green, yellow])]
    assert [(face.status, face.reason) for face in faces] == [
        ("ok", None),
        ("not_a_face", None),
        ("ok", "unfamiliar"),
    ]
    (face,) = recognize(path, check_faces=False)(green)[0].faces
    assert (face.status, face.reason) == ("ok", "unfamiliar")


def test_prior_moves_the_answers(write):
    (gray,) = recognize(write(card=CARD), prior="even")(GRAY)
    expected = softmax(*-np.log([0.6, 0.3, 0.1]))
    assert np.allclose(shares(gray.faces[0]), expected, atol=1e-6)


def test_faces_are_scored_in_batches(write):
    recognizer = recognize(write(), batch_size=2)
    labels = [
        result.faces[0].label for result in recognizer([RED, RED[:, :, ::-1], RED, GRAY, RED])
    ]
    assert labels == ["neutral", "anger", "neutral", "neutral", "neutral"]


def test_file_beside_a_run_is_used_if_it_is_of_the_same_weights(model, write, tmp_path, capsys):
    model.save_pretrained(tmp_path / "run" / "model")
    folder = tmp_path / "run" / "model"
    key = network_key(read_config(folder / CONFIG))
    write("run/model.onnx", source=key, size=16)
    assert open_engine_file(tmp_path / "run").image_size == 16

    # a calibration that came later counts
    update_folder(folder, calibration=Calibration(temperature=2.5))
    assert OnnxModel.load(tmp_path / "run").calibration.temperature == 2.5
    assert capsys.readouterr().err == ""


def test_model_is_exported_into_the_cache_once(model, write, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("KE2NT_CACHE", str(tmp_path / "cache"))
    calls = []

    def export(model, path, *, source):
        calls.append(source)
        path.write_bytes(tiny_onnx(source=source))

    monkeypatch.setattr(onnx_export, "export_onnx", export)
    model.save_pretrained(tmp_path / "run" / "model")
    write("run/model.onnx", source="of other weights")
    for _ in range(2):
        open_engine_file(tmp_path / "run")
    assert calls == [network_key(read_config(tmp_path / "run" / "model" / CONFIG))]
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("exporting ")

    # a damaged file beside it, and other weights
    (tmp_path / "run" / "model.onnx").write_bytes(b"damaged")
    open_engine_file(tmp_path / "run")
    model.projection.weight.data += 1
    model.save_pretrained(tmp_path / "run" / "model")
    open_engine_file(tmp_path / "run")
    assert len(calls) == 2


def test_damaged_and_unwritable_caches_are_named(model, tmp_path, monkeypatch):
    model.save_pretrained(tmp_path / "model")
    monkeypatch.setattr(onnx_export, "export_onnx", lambda *_, **__: pytest.fail("too late"))
    monkeypatch.setenv("KE2NT_CACHE", str(tmp_path / "file"))
    (tmp_path / "file").touch()
    with pytest.raises(CacheError, match=r"cannot be written .*file.*KE2NT_CACHE"):
        open_engine_file(tmp_path / "model")

    key = network_key(read_config(tmp_path / "model" / CONFIG))
    monkeypatch.setenv("KE2NT_CACHE", str(tmp_path))
    (tmp_path / "onnx").mkdir()
    (tmp_path / "onnx" / f"{key[:32]}.onnx").write_bytes(b"no model")
    with pytest.raises(ModelError, match=r"the cache is damaged .*[^.]\. Delete it"):
        open_engine_file(tmp_path / "model")


def test_what_the_engine_does_not_do_is_refused(write, model, tmp_path):
    path = write()
    with pytest.raises(ModelError, match="takes no other words"):
        recognize(path, classes=["bored", "in pain"])
    with pytest.raises(ConfigError, match="computes on the CPU"):
        recognize(path, device="cuda")
    with pytest.raises(ConfigError, match="does not run ONNX files"):
        recognize(path, engine="torch")
    with pytest.raises(ConfigError, match="unknown engine 'onxx'"):
        recognize(path, engine="onxx")
    with pytest.raises(CheckpointError, match="no such ONNX file"):
        recognize(tmp_path / "nope.onnx")
    with pytest.raises(ModelError, match=r"older version.*ke2nt export"):
        recognize(write("old.onnx", logits=False))(RED)
