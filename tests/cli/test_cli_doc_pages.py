"""The Python blocks of docs/share.md and docs/trust.md run."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from trust_fixtures import save_model

from ke2nt.export.onnx_export import export_onnx
from ke2nt.models.load import load_model

DOCS = Path(__file__).resolve().parents[2] / "docs"
PAGES = {name: (DOCS / name).read_text(encoding="utf-8") for name in ("share.md", "trust.md")}


def test_python_blocks_of_trust_page():
    (block,) = re.findall(r"```python\n(.*?)```", PAGES["trust.md"], flags=re.S)
    names: dict = {}
    exec(block, names)
    assert names["calibration"].temperature == pytest.approx(3, abs=0.6)


def test_python_blocks_of_share_page(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    export_onnx(load_model(save_model(tmp_path / "model")), Path("ferplus.onnx"))
    (block,) = re.findall(r"```python\n(.*?)```", PAGES["share.md"], flags=re.S)
    names: dict = {}
    exec(block.replace("64, 64", "24, 24"), names)
    assert names["probabilities"].shape == (1, 3)
