"""The example notebook runs from top to bottom, with fewer faces and epochs."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

NOTEBOOK = Path(__file__).resolve().parents[2] / "examples" / "finetune.ipynb"


@pytest.fixture
def cells():
    """Source of the cells with code, in order."""
    notebook = json.loads(NOTEBOOK.read_text(encoding="utf-8"))
    assert (notebook["nbformat"], notebook["nbformat_minor"]) == (4, 5)
    assert len({cell["id"] for cell in notebook["cells"]}) == len(notebook["cells"])
    return ["".join(c["source"]) for c in notebook["cells"] if c["cell_type"] == "code"]


def test_notebook_runs(cells, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(
        "ke2nt.training.train_recognizer.write_training_report", lambda *a, **k: None
    )
    cells[0], changed = re.subn("= 480, 5", "= 80, 1", cells[0])
    assert changed == 1

    names = {}
    for number, source in enumerate(cells):
        exec(compile(source, f"cell {number}", "exec"), names)
    printed = capsys.readouterr().out
    assert "images for training" in printed
    assert "accuracy before" in printed
    assert names["result"].run.read("start.json")["model"] == "ke2nt/ferplus-faces"
    assert names["recognizer"].classes == ("neutral", "happiness", "surprise", "anger")


def test_no_outputs_are_stored():
    """Outputs would be those of one machine, and pictures in the repository."""
    for cell in json.loads(NOTEBOOK.read_text(encoding="utf-8"))["cells"]:
        assert not cell.get("outputs")
        assert cell.get("execution_count") is None
