"""Half-precision bundles: written only where the answers stay, with the facts of the run."""

from __future__ import annotations

import json

import numpy as np
import pytest

from ke2nt.errors import CheckpointError, ModelError
from ke2nt.export import bundle
from ke2nt.export.bundle import bundle_model, load_for_sharing, read_metrics
from ke2nt.export.compare import compare_probabilities
from ke2nt.models.load import load_model


def test_comparison_by_hand():
    before = np.array([[0.6, 0.4], [0.3, 0.7], [0.51, 0.49]])
    after = np.array([[0.58, 0.42], [0.3, 0.7], [0.45, 0.55]])
    found = compare_probabilities(before, after, np.array([0, 0, 1]))
    assert (found.n, found.changed) == (3, 1)
    assert found.max_difference == pytest.approx(0.06)
    assert found.accuracy_before == pytest.approx(1 / 3)
    assert found.accuracy_after == pytest.approx(2 / 3)
    # recalls 1/2 and 0, then 1/2 and 1; confidences 0.6, 0.7, 0.51, then 0.58, 0.7, 0.55
    assert (found.uar_before, found.uar_after) == pytest.approx((0.25, 0.75))
    assert found.ece_before == pytest.approx((0.4 + 0.7 + 0.51) / 3)
    # 0.58 and 0.55 share a bin, in which both are right
    assert found.ece_after == pytest.approx(((1 - 0.58) + (1 - 0.55) + 0.7) / 3)
    assert compare_probabilities(before, after).accuracy_after is None


def test_bundle_predicts_like_the_model(text_model, faces, tmp_path):
    found = bundle_model(text_model, tmp_path / "tiny", faces)
    assert found.n == 40
    assert found.max_difference < 0.01
    loaded = load_model(tmp_path / "tiny")
    assert loaded.calibration == text_model.calibration
    config = json.loads((tmp_path / "tiny" / "config.json").read_text())
    assert config["dtype"] == "float16"


def test_changed_predictions_and_large_files_are_errors(text_model, faces, tmp_path, monkeypatch):
    with pytest.raises(ModelError, match=r"half precision changes.*--max-difference"):
        bundle_model(text_model, tmp_path / "tiny", faces, max_difference=0.0)

    monkeypatch.setattr(bundle, "MAX_BYTES", 1000)
    with pytest.raises(ModelError, match="too large to be bundled"):
        bundle_model(text_model, tmp_path / "tiny", faces)
    assert not (tmp_path / "tiny").exists()


def test_shared_model_has_public_facts_only(text_model, tmp_path):
    command = "ke2nt train x data.root=/home/ada/faces"
    text_model.save_pretrained(tmp_path / "m", provenance={"command": command})
    figures = {
        **dict.fromkeys(("accuracy", "uar", "macro_f1", "ece", "nll"), 0.5),
        **{"dataset": "rafdb", "split": "test", "n": 9, "intervals": {}, "per_class": []},
    }
    (tmp_path / "metrics.json").write_text(json.dumps(figures))

    model = load_for_sharing(tmp_path / "m", name="ke2nt/tiny", metrics=[tmp_path / "metrics.json"])
    assert model.provenance["command"] == "ke2nt train x data.root=DIR"
    assert model.card["name"] == "ke2nt/tiny"
    assert [e["dataset"] for e in model.card["evaluations"]] == ["rafdb"]


@pytest.mark.parametrize("text", ["{", "{}", "[]", '{"dataset": 1}'])
def test_invalid_metrics_files_are_errors(tmp_path, text):
    (tmp_path / "metrics.json").write_text(text)
    with pytest.raises(CheckpointError, match=r"figures|metrics"):
        read_metrics(tmp_path / "metrics.json")
