"""A model with attention heads leaves the project as any other one: ONNX, half precision."""

from __future__ import annotations

import pytest
import torch
from warmed_models import CLASSES, SIZE, warmed

from ke2nt.banks.text_bank import TextBank
from ke2nt.evaluation.predictions import compute_predictions
from ke2nt.export.bundle import bundle_model
from ke2nt.export.onnx_export import export_onnx, predict_onnx
from ke2nt.export.ort import OnnxRecognizer
from ke2nt.models.ke2nt import KE2NT
from ke2nt.models.load import load_model


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    rows = torch.randn(3, 16, generator=torch.Generator().manual_seed(1))
    bank = TextBank.from_tensors(rows, classes=CLASSES, neutral_index=0, logit_scale=20.0)
    return warmed(KE2NT(bank, "test_resnet", SIZE, attention={"stages": 2}))


def test_graph_contains_the_fused_output(model, faces, tmp_path):
    parity = export_onnx(model, tmp_path / "m.onnx")
    assert parity.max_difference <= 1e-4
    expected = compute_predictions(model, faces, precision="fp32").probabilities
    assert abs(predict_onnx(OnnxRecognizer(tmp_path / "m.onnx"), faces) - expected).max() <= 1e-4


def test_half_precision_keeps_every_stage(model, faces, tmp_path):
    bundle_model(model, tmp_path / "m", faces)
    images = torch.zeros(1, 3, SIZE, SIZE)
    for ours, theirs in zip(
        model(images).stages, load_model(tmp_path / "m")(images).stages, strict=True
    ):
        torch.testing.assert_close(ours.logits, theirs.logits, atol=0.05, rtol=0.01)
