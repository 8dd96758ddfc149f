"""The Python blocks of docs/share.md and docs/trust.md run."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from trust_fixtures import save_model

from ke2nt.export.onnx_export import export_onnx
from ke2nt.models.load import load_model
from ke2nt.predict.face_settings import FaceSettings
from ke2nt.predict.recognizer import Recognizer

DOCS = Path(__file__).resolve().parents[2] / "docs"
PAGES = {name: (DOCS / name).read_text(encoding="utf-8") for name in ("share.md", "trust.md")}


def test_python_blocks_of_trust_page():
    (block,) = re.findall(r"```python\n(.*?)```", PAGES["trust.md"], flags=re.S)
    names: dict = {}
    exec(block, names)
    assert names["calibration"].temperature == pytest.approx(3, abs=0.6)


def test_python_blocks_of_share_page(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    model = load_model(save_model(tmp_path / "model"))
    model.card = {**model.card, "predict": FaceSettings(face_pixels=16).to_dict()}
    export_onnx(model, Path("ferplus.onnx"))
    pixels = np.random.default_rng(0).integers(0, 256, (90, 90, 3), np.uint8)
    Image.fromarray(pixels).save("face.png")
    (block,) = re.findall(r"```python\n(.*?)```", PAGES["share.md"], flags=re.S)
    names: dict = {}
    exec(block, names)

    # as ke2nt predicts it
    (row,) = Recognizer(model, detector=None, device="cpu").predict(pixels)
    expected = np.array([list(row.probabilities.values())])
    assert names["probabilities"] == pytest.approx(expected, abs=1e-4)
    assert names["classes"] == list(model.classes)
