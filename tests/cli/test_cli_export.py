"""`ke2nt export`: files, comparisons with the original model, and errors."""

import json

import huggingface_hub
import pytest
from command_line import run_ke2nt
from trust_fixtures import CLASSES, draw_faces, run_here, save_model

from ke2nt.export.ort import OnnxRecognizer
from ke2nt.models.load import load_model


@pytest.fixture(scope="module")
def faces(tmp_path_factory):
    return draw_faces(tmp_path_factory.mktemp("faces"))


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return save_model(tmp_path_factory.mktemp("run") / "model").parent


@pytest.fixture
def export(monkeypatch, capfd, run):
    def export(*extra, where=run):
        return run_here(monkeypatch, capfd, "export", where, *extra)

    return export


def test_onnx_and_int8(run, faces, tmp_path):
    arguments = ["export", run, "--out", tmp_path / "m.onnx", "--int8", "--json"]
    arguments += ["--dataset", "folder", "--root", faces, "--quiet"]
    done = run_ke2nt(*arguments)
    assert done.returncode == 0, done.stderr
    value = json.loads(done.stdout)
    assert value["parity"]["max_difference"] <= 1e-4
    assert value["int8"]["n"] == 24
    assert 0 <= value["int8"]["accuracy_after"] <= 1
    assert value["int8"]["bytes"] < value["bytes"]
    for name in ("m.onnx", "m.int8.onnx"):
        assert OnnxRecognizer(tmp_path / name).classes == CLASSES


def test_int8_without_faces_writes_nothing(export, tmp_path):
    code, out, err = export("--int8", "--out", tmp_path / "m.onnx")
    assert (code, out) == (2, "")
    assert "expected --dataset" in err
    assert not list(tmp_path.iterdir())


def test_bundle(export, faces, tmp_path):
    data = ("--dataset", "folder", "--root", faces, "--quiet")
    code, out, _ = export("--format", "bundle", "--name", "tiny", "--out", tmp_path / "t", *data)
    assert code == 0
    assert "0 of 24 predictions changed" in out
    assert load_model(tmp_path / "t").card["name"] == "ke2nt/tiny"
    limits = ("--max-difference", "0", "--out", tmp_path / "u")
    code, _, err = export("--format", "bundle", "--name", "tiny", *limits, *data)
    assert code == 2
    assert "half precision changes" in err
    assert not (tmp_path / "u").exists()


def test_hub(export, monkeypatch):
    sent = {}

    class Hub:
        def create_repo(self, hub_id, **options):
            sent.update(options, hub_id=hub_id)

        def upload_folder(self, *, folder_path, **_):
            sent["files"] = sorted(path.name for path in folder_path.iterdir())
            return "https://hub/commit"

    monkeypatch.setattr(huggingface_hub, "HfApi", Hub)
    code, out, _ = export("--format", "hub", "--name", "ada/faces", "--private", "--half")
    assert (code, out) == (0, "uploaded: https://hub/commit\n")
    assert (sent["hub_id"], sent["private"]) == ("ada/faces", True)
    assert {"README.md", "config.json", "model.safetensors"} <= set(sent["files"])


@pytest.mark.parametrize(
    ("extra", "words"),
    [
        (("--format", "hub"), "needs a name"),
        (("--format", "bundle", "--name", "../x"), "letters, digits"),
        (("--format", "hub", "--name", "faces"), "not the name of a hub repository"),
        (("--format", "bundle", "--name", "tiny", "--metrics", "nope.json"), "the metrics"),
        (("--format", "tflite"), "tflite"),
        (("--format", "onnx", "--half"), "--half needs --format hub"),
    ],
)
def test_errors_are_one_line(export, extra, words):
    code, out, err = export(*extra)
    assert (code, out) == (2, "")
    assert len(err.strip().splitlines()) == 1
    assert words in err
