"""Models of the package by name, half precision on disk, and the hub: all without a network."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from types import SimpleNamespace

import huggingface_hub
import pytest
import torch
from safetensors.torch import load_file

from ke2nt.checkpoints import bundled
from ke2nt.checkpoints.bundled import bundled_models
from ke2nt.checkpoints.card import model_card
from ke2nt.checkpoints.find_model import public_model_name
from ke2nt.errors import CheckpointError, Ke2ntWarning
from ke2nt.models.load import load_model, push_to_hub
from ke2nt.predict.recognizer import DEFAULT_MODEL


@pytest.fixture
def package(tmp_path, monkeypatch):
    folder = tmp_path / "pretrained"
    folder.mkdir()
    monkeypatch.setattr(bundled, "BUNDLED_FOLDER", folder)
    return folder


def test_a_model_of_the_package_is_found_by_name(package, model, images):
    model.eval().save_pretrained(package / "tiny")
    assert bundled_models() == ("tiny",)
    assert torch.equal(load_model("ke2nt/tiny")(images).logits, model(images).logits)
    with pytest.raises(CheckpointError, match=r"'tyny'.*expected one of tiny.*mean 'tiny'"):
        load_model("ke2nt/tyny")


def test_package_without_models_raises_without_network(package, monkeypatch):
    monkeypatch.setattr(huggingface_hub, "snapshot_download", None)
    with pytest.raises(CheckpointError, match=r"has no model 'ferplus-resnet18'.*ke2nt train"):
        load_model("ke2nt/ferplus-resnet18")


def test_a_folder_comes_first(package, model, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    model.save_pretrained("ke2nt/mine")
    assert load_model("ke2nt/mine").classes == model.classes


def test_public_names_have_no_folders_of_the_machine(tmp_path):
    (tmp_path / "run" / "model").mkdir(parents=True)
    for path in (tmp_path / "run", tmp_path / "run" / "model"):
        assert public_model_name(path) == "run"
    assert public_model_name("user/model") == "user/model"
    assert public_model_name("ke2nt/ferplus-faces") == "ke2nt/ferplus-faces"
    assert public_model_name("ferplus-faces") == "ke2nt/ferplus-faces"


def test_shipped_models_are_complete():
    assert "ferplus-resnet18" in bundled_models()
    for name in bundled_models():
        folder = bundled.BUNDLED_FOLDER / name
        assert sum(f.stat().st_size for f in folder.iterdir()) <= 25_000_000
        loaded = load_model(f"ke2nt/{name}")
        assert loaded.calibration is not None
        card = (folder / "README.md").read_text(encoding="utf-8")
        assert "## Metrics" in card
        assert ("dlib's face-recognition network" in card) == (name != "ferplus-resnet18")
        assert card == model_card(json.loads((folder / "config.json").read_text(encoding="utf-8")))


def test_half_precision_is_half_the_size_and_computes_in_full(model, tmp_path, images):
    model.eval()
    model.save_pretrained(tmp_path / "full")
    model.save_pretrained(tmp_path / "half", dtype=torch.float16)
    sizes = [(tmp_path / n / "model.safetensors").stat().st_size for n in ("half", "full")]
    assert sizes[0] < 0.6 * sizes[1]
    stored = load_file(tmp_path / "half" / "model.safetensors")
    assert {t.dtype for t in stored.values()} == {torch.float16, torch.int64}
    loaded = load_model(tmp_path / "half")
    assert {p.dtype for p in loaded.parameters()} == {torch.float32}
    difference = (loaded(images).logits - model(images).logits).abs().max()
    assert 0 < difference < 0.1
    loaded.save_pretrained(tmp_path / "again")
    assert {t.dtype for t in load_file(tmp_path / "again" / "model.safetensors").values()} == {
        torch.float32,
        torch.int64,
    }


def test_a_weight_beyond_half_precision_is_named(model, tmp_path):
    with torch.no_grad():
        model.transformation.up.bias[0] = 1e6
    with pytest.raises(CheckpointError, match=r"transformation\.up\.bias is out of the range.*1e"):
        model.save_pretrained(tmp_path / "m", dtype=torch.float16)
    assert not (tmp_path / "m").exists()


def test_weights_can_be_read_by_others(model, tmp_path):
    """Files of a package belong to all users of a machine."""
    model.save_pretrained(tmp_path / "m")
    modes = {f.stat().st_mode & 0o777 for f in (tmp_path / "m").iterdir()}
    assert len(modes) == 1
    assert modes.pop() & 0o400


class LocalHub:
    """What of huggingface_hub is used, on a local folder."""

    folder: Path

    def create_repo(self, hub_id, *, repo_type, private, exist_ok):
        assert (repo_type, exist_ok) == ("model", True)
        (self.folder / hub_id).mkdir(parents=True, exist_ok=True)
        LocalHub.private = private

    def upload_folder(self, *, repo_id, folder_path, repo_type, commit_message):
        shutil.copytree(folder_path, self.folder / repo_id, dirs_exist_ok=True)
        LocalHub.message = commit_message
        return f"https://hub/{repo_id}/commit/1"


@pytest.fixture
def hub(tmp_path, monkeypatch):
    LocalHub.folder = tmp_path / "hub"

    def download(hub_id, allow_patterns):
        assert "README.md" in allow_patterns
        return str(LocalHub.folder / hub_id)

    monkeypatch.setattr(huggingface_hub, "HfApi", LocalHub)
    monkeypatch.setattr(huggingface_hub, "snapshot_download", download)
    return LocalHub


def test_to_the_hub_and_back(hub, model, images):
    model.eval()
    model.card = {"name": "old", "seed": 5}
    address = push_to_hub(model, "ada/faces", private=True, message="first")
    assert address == "https://hub/ada/faces/commit/1"
    assert (hub.private, hub.message) == (True, "first")
    assert model.card["name"] == "old"
    loaded = load_model("ada/faces")
    assert torch.equal(loaded(images).logits, model(images).logits)
    assert loaded.card == {"name": "ada/faces", "seed": 5}
    assert "# ada/faces" in (hub.folder / "ada/faces/README.md").read_text()


@pytest.mark.parametrize("name", ["faces", "ke2nt/faces", "../x", "a/b/c", ""])
def test_invalid_hub_ids_are_refused(hub, model, name):
    with pytest.raises(CheckpointError, match="not the name of a hub repository"):
        push_to_hub(model, name)


def test_a_refusal_of_the_hub_is_one_clear_error(hub, model, monkeypatch):
    def refuse(*_, **__):
        error = OSError("401 Unauthorized")
        error.response = SimpleNamespace(status_code=401)
        raise error

    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    monkeypatch.setattr(LocalHub, "create_repo", refuse)
    with pytest.raises(CheckpointError, match=r"uploaded to the hub.*no permission.*hf auth login"):
        push_to_hub(model, "ada/faces")


def test_the_earlier_recognizer_names_its_successor():
    with pytest.warns(Ke2ntWarning, match="ke2nt/ferplus-faces is better"):
        load_model("ke2nt/ferplus-resnet18")


def test_the_default_recognizer_loads_without_a_warning(recwarn):
    load_model(DEFAULT_MODEL)
    assert not [each for each in recwarn if issubclass(each.category, Ke2ntWarning)]
