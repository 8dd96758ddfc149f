"""ONNX files answer as the model does, say what they are, and lose little in 8 bits."""

from __future__ import annotations

import copy
import json
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch

from ke2nt.errors import MissingExtraError, ModelError
from ke2nt.evaluation.predictions import compute_predictions
from ke2nt.export import onnx_export
from ke2nt.export.onnx_export import TOLERANCE, export_int8, export_onnx, predict_onnx
from ke2nt.export.onnx_file import find_encoder_nodes
from ke2nt.export.ort import OnnxRecognizer
from ke2nt.models.adapters import TipAdapter
from ke2nt.predict.onnx_classifier import OnnxModel
from ke2nt.predict.recognizer import Recognizer

CLASSES = ("neutral", "happiness", "anger")
SIZE = 24


@pytest.fixture(scope="module")
def files(text_model, linear_model, tmp_path_factory):
    folder = tmp_path_factory.mktemp("onnx")
    found = {}
    for name, model in (("text", text_model), ("linear", linear_model)):
        path = folder / f"{name}.onnx"
        model.train()  # it is exported as it evaluates
        found[name] = (path, model, export_onnx(model, path))
        assert not model.training
    return found


@pytest.mark.parametrize("head", ["text", "linear"])
def test_onnx_predicts_like_evaluation(files, head, faces):
    """Gray conversion, normalization, text, temperature or vectors: all are in the graph."""
    path, model, parity = files[head]
    assert parity.changed == 0
    assert parity.max_difference <= TOLERANCE == 1e-4
    exported = OnnxRecognizer(path)

    expected = compute_predictions(model, faces, precision="fp32").probabilities
    found = predict_onnx(exported, faces)
    assert found.dtype == np.float32
    assert np.abs(found - expected).max() <= 1e-4
    assert np.ptp(expected, axis=0).max() > 0.01  # the answers do depend on the images


@pytest.mark.parametrize("head", ["text", "linear"])
def test_engine_answers_as_the_model(files, head):
    """Images of other sizes: resizing, normalization, calibration, intensity of both engines."""
    path, model, _ = files[head]
    rng = np.random.default_rng(2)
    images = [rng.integers(0, 256, (*shape, 3), "u1") for shape in [(60, 90), (24, 24), (9, 13)]]
    pair = [
        Recognizer(each, detector=None, device="cpu", check_quality=False)
        for each in (copy.deepcopy(model), OnnxModel.load(path))
    ]
    if head == "text":
        for recognizer in pair:
            recognizer.set_neutral(images[0])

    for ours, theirs in zip(*(recognizer.predict(images) for recognizer in pair), strict=True):
        assert (ours.label, ours.status) == (theirs.label, theirs.status)
        assert theirs.probabilities == pytest.approx(ours.probabilities, abs=1e-4)
        assert theirs.unscaled_intensity == pytest.approx(ours.unscaled_intensity, abs=1e-4)
    crops = [[each._classifier.crop(image, None) for image in images] for each in pair]
    assert all(map(np.array_equal, *crops))


def test_calibration_is_in_the_graph(files, faces):
    path, model, _ = files["text"]
    raw = compute_predictions(model, faces, precision="fp32").uncalibrated()
    assert np.abs(predict_onnx(OnnxRecognizer(path), faces) - raw).max() > 1e-3


def test_the_cache_of_a_few_shot_model_is_in_the_graph(text_model, faces, tmp_path):
    model = copy.deepcopy(text_model)
    generator = torch.Generator().manual_seed(4)
    keys = torch.nn.functional.normalize(torch.randn(6, 16, generator=generator))
    adapter = TipAdapter.from_features(keys, torch.arange(6) % 3, CLASSES)
    adapter.alpha, adapter.beta = 9.0, 2.0
    model.set_adapter(adapter)

    export_onnx(model.eval(), tmp_path / "tip.onnx")
    found = predict_onnx(OnnxRecognizer(tmp_path / "tip.onnx"), faces)
    expected = compute_predictions(model, faces, precision="fp32").probabilities
    assert np.abs(found - expected).max() <= 1e-4
    plain = compute_predictions(text_model, faces, precision="fp32").uncalibrated()
    assert np.abs(found - plain).max() > 0.01


@pytest.mark.parametrize("count", [1, 2, 33])
def test_any_batch_size(files, count):
    images = np.random.default_rng(1).integers(0, 256, (count, SIZE, SIZE, 3), dtype=np.uint8)
    exported = OnnxRecognizer(files["text"][0])
    found = exported(images)
    assert found.shape == (count, 3)
    assert np.allclose(found.sum(axis=1), 1, atol=1e-5)
    assert np.allclose(found[:1], exported(images[:1]), atol=1e-6)


def test_metadata_describes_the_model(files):
    path, model, _ = files["text"]
    exported = OnnxRecognizer(path.read_bytes())
    assert (exported.classes, exported.image_size) == (CLASSES, SIZE)

    graph = onnx.load(path)
    facts = {p.key: p.value for p in graph.metadata_props}
    assert json.loads(facts["calibration"]) == model.calibration.to_dict()

    # the input takes any batch size
    (image,), (answer, *more) = graph.graph.input, graph.graph.output
    shape = [d.dim_param or d.dim_value for d in image.type.tensor_type.shape.dim]
    assert (image.name, shape[1:]) == ("images", [SIZE, SIZE, 3])
    assert isinstance(shape[0], str)
    assert image.type.tensor_type.elem_type == onnx.TensorProto.UINT8
    assert [answer.name, *(each.name for each in more)] == [
        "probabilities",
        "logits",
        "intensities",
        "face_score",
        "distance",
    ]
    assert json.loads(facts["familiarity"])["min_face"] == -1.0


def test_familiarity_is_in_the_graph(files, faces):
    path, model, _ = files["text"]
    images = next(faces.batches(5)).pixels
    with torch.inference_mode():
        embeddings = model(model.preprocessing.normalize(images)).embeddings
        expected = model.familiarity.measure(embeddings).numpy()
    session = onnxruntime.InferenceSession(path)
    pixels = images.permute(0, 2, 3, 1).contiguous().numpy()
    found = session.run(["face_score", "distance"], {"images": pixels})
    np.testing.assert_allclose(np.stack(found, axis=1), expected, rtol=1e-3, atol=1e-3)
    plain = onnxruntime.InferenceSession(files["linear"][0])
    assert [output.name for output in plain.get_outputs()] == ["probabilities", "logits"]


@pytest.mark.parametrize(
    "images",
    [
        np.zeros((1, SIZE, SIZE, 3), np.float32),
        np.zeros((1, 3, SIZE, SIZE), np.uint8),
        np.zeros((SIZE, SIZE, 3), np.uint8),
    ],
)
def test_images_of_a_wrong_shape_are_errors(files, images):
    with pytest.raises(ModelError, match=r"expected uint8 of shape \(batch, 24, 24, 3\)"):
        OnnxRecognizer(files["text"][0])(images)


def test_other_files_are_errors(tmp_path):
    (tmp_path / "a.onnx").write_bytes(b"no graph")
    with pytest.raises(ModelError, match=r"not an ONNX file that ke2nt exported.*a\.onnx"):
        OnnxRecognizer(tmp_path / "a.onnx")


def test_graph_with_other_predictions_is_not_written(files, text_model, tmp_path, monkeypatch):
    graph = files["text"][0].read_bytes()
    monkeypatch.setattr(onnx_export, "build_onnx", lambda model, *, source: graph)
    monkeypatch.setattr(text_model, "calibration", None)
    with pytest.raises(ModelError, match="does not predict like the model"):
        export_onnx(text_model, tmp_path / "m.onnx")
    assert not list(tmp_path.iterdir())


def test_int8_is_smaller_and_nearly_equal(files, faces, tmp_path):
    path, model, _ = files["text"]
    export_int8(path, tmp_path / "small.onnx", faces, count=16)
    assert (tmp_path / "small.onnx").stat().st_size < 0.5 * path.stat().st_size
    small = OnnxRecognizer(tmp_path / "small.onnx")
    assert small.classes == CLASSES
    expected = compute_predictions(model, faces, precision="fp32").probabilities
    difference = np.abs(predict_onnx(small, faces) - expected).max()
    assert 0 < difference < 0.1


def test_files_name_no_folder_of_this_machine(files, faces, tmp_path):
    path = files["text"][0]
    export_int8(path, tmp_path / "small.onnx", faces, count=16)
    for file in (path, tmp_path / "small.onnx"):
        content = file.read_bytes()
        assert b"stack_trace" not in content
        assert str(Path(onnx_export.__file__).parents[2]).encode() not in content


def test_head_and_text_stay_in_full_precision(files):
    graph = onnx.load(files["text"][0])
    heavy = {n.name for n in graph.graph.node if n.op_type in ("Conv", "Gemm", "MatMul")}
    encoder = set(find_encoder_nodes(files["text"][0].read_bytes()))
    assert encoder < heavy
    left = {n.op_type for n in graph.graph.node if n.name in heavy - encoder}
    assert left == {"Gemm", "MatMul"}


def test_missing_package_names_the_extra(text_model, tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "onnx", None)
    with pytest.raises(MissingExtraError, match=r"ke2nt\[export\]"):
        export_onnx(text_model, tmp_path / "m.onnx")
