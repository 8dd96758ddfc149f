"""Two processes of a launcher share a split: each image embedded once, the figures those of one."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest
from command_line import run_ke2nt_twice
from fake_images import expected, random_images
from PIL import Image

from ke2nt.cli.main import main
from ke2nt.models.linear import LinearClassifier

SCRIPT = """
import json, os, sys
sys.path.insert(0, {tests!r})
import numpy as np
from fake_images import FakeImageEncoder, random_images
from ke2nt.evaluation import embed_split as embed

embed._PIECE = 4
encoder = FakeImageEncoder()
cache = {out!r} + "/cache"
first = embed.embed_split(encoder, random_images(27), cache_dir=cache, batch_size=2)
again = embed.embed_split(encoder, random_images(27), cache_dir=cache, batch_size=2)
assert np.array_equal(first.embeddings, again.embeddings) and encoder.loaded == 1
with open({out!r} + "/embedded-" + os.environ["RANK"] + ".json", "w") as file:
    json.dump({{"embedded": encoder.embedded, "rows": first.embeddings.tolist()}}, file)
"""


@pytest.fixture
def faces(tmp_path):
    """Seven faces, one of them unreadable: processes whose shares are not equal."""
    rng = np.random.default_rng(0)
    for i in range(7):
        path = tmp_path / "faces" / "test" / ("neutral", "happiness")[i % 2] / f"{i}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 255, (32, 32, 3), dtype=np.uint8)).save(path)
    path.write_bytes(b"no image")
    return tmp_path / "faces"


def test_two_processes_share_embedding_and_evaluation(faces, tmp_path, monkeypatch, capsys):
    model = LinearClassifier(("neutral", "happiness"), backbone="test_resnet", image_size=32)
    model.save_pretrained(tmp_path / "model")
    command = ["evaluate", str(tmp_path / "model"), "--dataset", "folder", "--root", str(faces)]
    command += ["--split", "test", "--batch-size", "2", "--device", "cpu", "--json"]
    before = SCRIPT.format(tests=str(Path(__file__).parent), out=str(tmp_path))
    done, second = run_ke2nt_twice(*command, "--out", tmp_path / "report", before=before)

    assert (done.returncode, second.returncode) == (0, 0), done.stderr + second.stderr
    assert second.stdout == ""

    shares = [json.loads((tmp_path / f"embedded-{rank}.json").read_text()) for rank in (0, 1)]
    assert [share["embedded"] for share in shares] == [15, 12]  # pieces 0, 2, 4, 6; 1, 3, 5

    for share in shares:
        np.testing.assert_allclose(share["rows"], expected(random_images(27)), rtol=0, atol=1e-6)
    shared = json.loads(done.stdout)  # one document: the second process is silent

    assert shared["n"] == 6
    assert (tmp_path / "report" / "report.html").is_file()

    monkeypatch.setattr(sys, "argv", ["ke2nt", *command])
    with pytest.raises(SystemExit, match="0"):
        main()
    single = json.loads(capsys.readouterr().out)
    for name in ("n", "accuracy", "uar", "nll", "confusion", "failed"):
        assert shared[name] == single[name], name
