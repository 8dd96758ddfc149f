"""Which text encoder `auto` stands for."""

from __future__ import annotations

import pytest

from ke2nt.config.load import load_config
from ke2nt.training.image_tower import resolve_text_encoder
from ke2nt.vlm.auto_encoder import choose_text_encoder

CLIP = "models--timm--vit_base_patch16_clip_224.openai/snapshots/abc/open_clip_model.safetensors"


@pytest.fixture(autouse=True)
def hub(tmp_path, monkeypatch):
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    return tmp_path / "hub"


def test_an_image_tower_brings_its_text():
    assert choose_text_encoder("open_clip:ViT-B-32/openai")[0] == "open_clip:ViT-B-32/openai"


def test_clip_where_its_weights_are(hub):
    assert choose_text_encoder("resnet18")[0] == "minilm"
    (hub / CLIP).parent.mkdir(parents=True)
    (hub / CLIP).touch()
    assert choose_text_encoder("resnet18")[0] == "open_clip:ViT-B-16/openai"


def test_clip_is_fetched_only_if_the_user_wants_it(monkeypatch):
    assert choose_text_encoder("resnet18", fetch=True)[0] == "minilm"  # the network is forbidden
    monkeypatch.setenv("HF_HUB_OFFLINE", "0")
    assert choose_text_encoder("resnet18")[0] == "minilm"
    assert choose_text_encoder("resnet18", fetch=True)[0] == "open_clip:ViT-B-16/openai"


def test_the_choice_is_said_in_one_line_and_stored(capsys):
    config = load_config("rafdb_resnet18", ["data.root=."])
    assert config.text.encoder == "auto"
    assert resolve_text_encoder(config, quiet=False).text.encoder == "minilm"
    assert capsys.readouterr().err.splitlines() == [
        "text encoder: minilm (CLIP's weights are not on this machine; "
        "text.fetch=true fetches them)"
    ]


def test_an_encoder_by_name_stays(capsys):
    config = load_config("quickstart", ["text.encoder=minilm"])
    assert resolve_text_encoder(config, quiet=False) is config
    assert capsys.readouterr().err == ""
