"""A calibration on a model: applied, stored, carried over to other texts, or refused."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

from ke2nt.checkpoints.model_folder import update_folder
from ke2nt.data.sample import FaceSample, FaceSplit
from ke2nt.errors import CheckpointError, ModelError
from ke2nt.evaluation.evaluate_model import decode_for_model, evaluate_model
from ke2nt.evaluation.predictions import compute_predictions
from ke2nt.models.calibration import Calibration
from ke2nt.models.load import load_model
from ke2nt.runtime.renamed import RenamedWarning

VECTOR = Calibration("vector", weight=(1.0, 2.0, 0.5, 1.0), bias=(0.0, -1.0, 3.0, 0.1))
WARM = Calibration(
    temperature=2.5,
    min_confidence=0.4,
    threshold={"target": "risk", "value": 0.1, "risk": 0.1, "coverage": 0.8},
    fitted_on={"dataset": "ferplus", "split": "val", "options": {}, "n": 10},
    metrics={"ece_before": 0.2, "ece_after": 0.1},
)


def test_temperature_divides_and_vectors_scale_and_shift():
    logits = torch.tensor([[1.0, 2.0, 3.0, 4.0]])
    assert torch.equal(WARM.apply(logits), logits / 2.5)
    assert torch.allclose(VECTOR.apply(logits), torch.tensor([[1.0, 3.0, 4.5, 4.1]]))
    for dtype in (torch.float16, torch.float64):
        assert VECTOR.apply(logits.to(dtype)).dtype == dtype
    assert VECTOR.apply(torch.zeros(2, 3, 4)).shape == (2, 3, 4)
    with pytest.raises(ModelError, match=r"4 classes; found 3"):
        VECTOR.apply(torch.zeros(1, 3))


@pytest.mark.parametrize(
    "value",
    [
        {"temperature": 0.0},
        {"temperature": float("nan")},
        {"method": "isotonic"},
        {"method": "vector"},
        {"method": "vector", "weight": [1.0], "bias": [1.0, 2.0]},
        {"method": "vector", "weight": [float("inf")], "bias": [0.0]},
        {"weight": [1.0], "bias": [1.0]},
        {"min_confidence": 1.5},
        {"color": "red"},
        [1, 2],
    ],
)
def test_invalid_calibration_is_refused(value):
    with pytest.raises(CheckpointError, match="calibration is not valid"):
        Calibration.from_dict(value)


@pytest.mark.parametrize("calibration", [WARM, VECTOR])
def test_calibration_is_saved_and_loaded(model, tmp_path, calibration):
    model.calibration = calibration
    model.save_pretrained(tmp_path / "m")
    assert load_model(tmp_path / "m").calibration == calibration
    stored = json.loads((tmp_path / "m" / "config.json").read_text())["calibration"]
    assert Calibration.from_dict(stored) == calibration
    assert ("temperature" in stored) == (calibration.method == "temperature")


def test_models_without_calibration_or_card_load(model, tmp_path):
    model.save_pretrained(tmp_path / "m")
    path = tmp_path / "m" / "config.json"
    config = json.loads(path.read_text())
    for key in ("calibration", "card", "dtype"):
        del config[key]
    path.write_text(json.dumps(config))
    assert load_model(tmp_path / "m").calibration is None


def test_damaged_calibration_names_the_file(model, tmp_path):
    model.calibration = WARM
    model.save_pretrained(tmp_path / "m")
    path = tmp_path / "m" / "config.json"
    path.write_text(path.read_text().replace('"temperature": 2.5', '"temperature": -1'))
    with pytest.raises(CheckpointError, match=r"calibration is not valid.*config\.json"):
        load_model(tmp_path / "m")


def test_other_texts_keep_a_flagged_temperature_and_drop_vectors(model, bank, new_bank):
    model.calibration = WARM
    model.set_bank(bank)
    assert model.calibration == WARM
    model.set_bank(new_bank(classes=("bored", "calm"), seed=9))
    assert model.calibration.temperature == 2.5
    assert model.calibration.transferred
    assert model.calibration.min_confidence is None
    model.calibration = VECTOR
    model.set_bank(new_bank(seed=3))
    assert model.calibration is None


def test_changed_texts_drop_what_was_measured_with_the_old_ones(model, new_bank):
    settings = {"face_pixels": 48, "intensity": {"zero": 0.1}}
    model.card = {"name": "a", "evaluations": [1], "predict": settings}
    model.set_bank(new_bank(seed=3))
    assert model.card == {"name": "a", "predict": {"face_pixels": 48}}


def test_a_folder_is_updated_in_place(model, tmp_path, images):
    model.save_pretrained(tmp_path / "m", provenance={"seed": 3})
    before = (tmp_path / "m" / "model.safetensors").read_bytes()
    update_folder(tmp_path / "m", calibration=VECTOR, card={"name": "user/model"})
    update_folder(tmp_path / "m", card={"seed": 3})
    loaded = load_model(tmp_path / "m")
    assert loaded.calibration == VECTOR
    assert loaded.card == {"name": "user/model", "seed": 3}
    assert loaded.provenance["seed"] == 3
    assert (tmp_path / "m" / "model.safetensors").read_bytes() == before
    assert "Vector scaling" in (tmp_path / "m" / "README.md").read_text()
    with pytest.raises(CheckpointError):
        update_folder(tmp_path, card={})


@pytest.fixture
def faces(model):
    rng = np.random.default_rng(0)
    samples = tuple(
        FaceSample(name=str(i), source=rng.integers(0, 256, (32, 32, 3), "u1"), label=i % 4)
        for i in range(12)
    )
    return FaceSplit("made up", "val", model.classes, samples)


def test_predictions_are_calibrated_and_say_so(model, faces):
    images = decode_for_model(model, faces)
    raw = compute_predictions(model, images)
    assert not raw.calibrated
    assert np.allclose(raw.probabilities, raw.uncalibrated())
    model.calibration = WARM
    warm = compute_predictions(model, images)
    logits = torch.from_numpy(raw.logits[0])
    assert warm.calibrated
    assert np.allclose(warm.probabilities, (logits / 2.5).softmax(-1).numpy(), atol=1e-12)
    assert np.allclose(warm.uncalibrated(), raw.probabilities)
    assert (warm.probabilities.argmax(1) == raw.probabilities.argmax(1)).all()


def test_mirror_images_are_calibrated_before_they_are_averaged(model, faces):
    model.calibration = VECTOR
    answers = compute_predictions(model, decode_for_model(model, faces), flip_tta=True)
    assert answers.logits.shape == (2, 12, 4)
    views = [VECTOR.apply(torch.from_numpy(view)).softmax(-1) for view in answers.logits]
    assert np.allclose(answers.probabilities, (views[0] + views[1]) / 2)


def test_evaluation_reports_uncalibrated_metrics(model, faces):
    plain = evaluate_model(model, faces, bootstrap=0)
    assert plain.uncalibrated is None
    assert "uncalibrated" not in plain.to_dict()
    model.calibration = WARM
    warm = evaluate_model(model, faces, bootstrap=0)
    assert warm.uncalibrated.ece == pytest.approx(plain.report.ece)
    assert warm.report.ece != pytest.approx(plain.report.ece)
    assert warm.to_dict()["uncalibrated"]["nll"] == pytest.approx(plain.report.nll)


def test_old_name_of_the_metrics_warns_and_is_stored():
    with pytest.warns(RenamedWarning, match="metrics"):
        assert WARM.figures == WARM.metrics
    assert WARM.to_dict()["figures"] == WARM.metrics
    assert Calibration.from_dict(WARM.to_dict()) == WARM
