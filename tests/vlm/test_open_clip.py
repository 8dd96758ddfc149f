from __future__ import annotations

import json
import math
import re
import shutil

import numpy as np
import open_clip
import pytest
import torch
from safetensors.torch import save_file

from ke2nt.banks.text_bank import TextBank
from ke2nt.errors import PromptError, TextEncoderError
from ke2nt.vlm.base import WeightsUnavailableError
from ke2nt.vlm.catalog import get_text_encoder

ARCH = "ke2nt-test-clip"
CONFIG = {
    "embed_dim": 12,
    "vision_cfg": {"image_size": 16, "layers": 1, "width": 16, "head_width": 8, "patch_size": 8},
    "text_cfg": {
        "context_length": 16,
        "vocab_size": 49408,
        "width": 16,
        "heads": 2,
        "layers": 1,
    },
}
TEXTS = ["a photo of a happy face.", "fear!", "Neutral"]


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """A random model as checkpoint.pt, checkpoint.safetensors and an open_clip folder."""
    folder = tmp_path_factory.mktemp("open_clip")
    config = folder / f"{ARCH}.json"
    config.write_text(json.dumps(CONFIG))
    open_clip.add_model_config(config)
    torch.manual_seed(7)
    model = open_clip.create_model(ARCH)
    with torch.no_grad():
        model.logit_scale.fill_(math.log(33.0))
    state = {name: value.contiguous() for name, value in model.state_dict().items()}
    torch.save(state, folder / "checkpoint.pt")
    save_file(state, folder / "checkpoint.safetensors")
    local = folder / "local"
    local.mkdir()
    save_file(state, local / "open_clip_model.safetensors")
    (local / "open_clip_config.json").write_text(json.dumps({"model_cfg": CONFIG}))
    return folder


def library(home, **options):
    """Features and scale as open_clip itself gives them."""
    path = str(home / "checkpoint.pt")
    model = open_clip.create_model(ARCH, pretrained=path, **options).eval()
    with torch.no_grad():
        tokens = open_clip.get_tokenizer(ARCH)(TEXTS)
        return model.encode_text(tokens), float(model.logit_scale.exp())


@pytest.mark.parametrize("name", ["checkpoint.pt", "checkpoint.safetensors"])
def test_checkpoint_equals_open_clip(home, name):
    encoder = get_text_encoder(f"open_clip:{ARCH}/{home / name}")
    encoded = encoder.encode_text(TEXTS)
    features, scale = library(home)
    torch.testing.assert_close(encoded.embeddings, features, rtol=0, atol=1e-6)
    assert encoded.embeddings.dtype == torch.float32
    assert encoded.logit_scale == pytest.approx(scale) == pytest.approx(33.0, rel=1e-5)
    assert encoded.logit_bias is None
    assert str(home) not in encoder.id


def test_folder_equals_open_clip(home):
    encoder = get_text_encoder(f"open_clip:{home / 'local'}")
    features, _ = library(home)
    torch.testing.assert_close(encoder.encode_text(TEXTS).embeddings, features, rtol=0, atol=1e-6)
    assert encoder.id == "open_clip:local"
    assert len(encoder.fingerprint().weights) == 64


def wrapped(state):
    prefix = {f"module.{name}": value for name, value in state.items()}
    average = {f"ema.{name}": torch.zeros_like(value) for name, value in state.items()}
    return {
        "open_clip": {"epoch": 3, "state_dict": prefix, "optimizer": {"state": {}}},
        "model key": {"model": state},
        "model prefix": {f"model.{name}": value for name, value in state.items()},
        "lightning": {
            "state_dict": {f"model.{name}": value for name, value in state.items()} | average,
            "hyper_parameters": {"lr": 0.1},
            "pytorch-lightning_version": "2.0",
        },
        "compiled": {f"_orig_mod.module.{name}": value for name, value in state.items()},
        "numpy number": {"state_dict": state, "best": np.float64(0.5)},
        "half": {name: value.half() for name, value in state.items()},
        "more tensors": {**state, "vocab_size": torch.tensor(3)},
    }


@pytest.mark.parametrize("form", wrapped({"w": torch.ones(1)}))
def test_wrapped_checkpoints_equal_the_plain_one(home, tmp_path, form):
    state = torch.load(home / "checkpoint.pt")
    torch.save(wrapped(state)[form], tmp_path / "w.ckpt")
    encoded = get_text_encoder(f"open_clip:{ARCH}/{tmp_path / 'w.ckpt'}").encode_text(TEXTS)
    features, scale = library(home)
    atol = 2e-3 if form == "half" else 1e-6
    torch.testing.assert_close(encoded.embeddings, features, rtol=0, atol=atol)
    assert encoded.logit_scale == pytest.approx(scale, rel=1e-2)


class Archive(torch.nn.Module):
    """The form of OpenAI's archives: parameters by name, and three numbers."""

    def __init__(self, model):
        super().__init__()
        self.model = model
        for name, number in (("input_resolution", 16), ("context_length", 16), ("vocab_size", 9)):
            vars(model).pop(name, None)
            model.register_buffer(name, torch.tensor(number))

    def forward(self, images):
        return images * 2


@pytest.mark.filterwarnings("ignore::FutureWarning")
def test_an_archive_of_openai_gets_quick_gelu(home, tmp_path, monkeypatch):
    model = open_clip.create_model(ARCH, pretrained=str(home / "checkpoint.pt"))
    traced = torch.jit.trace(Archive(model), torch.rand(1))
    torch.jit.save(traced, str(tmp_path / "archive.pt"))
    monkeypatch.setattr(torch.jit, "load", lambda *a, **k: pytest.fail("ran the archive"))

    encoder = get_text_encoder(f"open_clip:{ARCH}/{tmp_path / 'archive.pt'}")
    encoded = encoder.encode_text(TEXTS)
    quick, _ = library(home, force_quick_gelu=True)
    torch.testing.assert_close(encoded.embeddings, quick, rtol=0, atol=1e-6)
    assert encoded.facts["activation"] == "quick_gelu"
    assert "file of OpenAI" in encoded.facts["activation_evidence"]
    assert "QuickGELU (it is a file of OpenAI), which is used in place of GELU" in encoded.notes[0]


@pytest.mark.parametrize(
    ("name", "config", "used", "note"),
    [
        ("w.pt", None, "gelu", "nothing says"),
        ("vit-quickgelu-w.pt", None, "gelu", r"QuickGELU \(by its name\), but GELU is used"),
        (
            "w.pt",
            ("config.json", {"text_config": {"hidden_act": "quick_gelu"}}),
            "quick_gelu",
            "in",
        ),
        ("w.pt", ("config.json", {"text_config": {"hidden_act": "gelu"}}), "gelu", None),
        (
            "w.pt",
            ("open_clip_config.json", {"model_cfg": {"quick_gelu": True}}),
            "quick_gelu",
            "in",
        ),
        ("w.pt", ("open_clip_config.json", {"model_cfg": {}}), "gelu", None),
    ],
)
def test_the_activation_follows_the_files_and_is_stated(home, tmp_path, name, config, used, note):
    shutil.copy(home / "checkpoint.pt", tmp_path / name)
    if config is not None:
        (tmp_path / config[0]).write_text(json.dumps(config[1]))
    encoded = get_text_encoder(f"open_clip:{ARCH}/{tmp_path / name}").encode_text(TEXTS)
    features, _ = library(home, force_quick_gelu=used == "quick_gelu")
    torch.testing.assert_close(encoded.embeddings, features, rtol=0, atol=1e-6)
    assert encoded.facts["activation"] == used
    assert len(encoded.notes) == (note is not None)
    if note is not None:
        assert re.search(note, encoded.notes[0])
        assert "embeddings of a probe text have cosine" in encoded.notes[0]


def test_a_tag_of_pretrained_weights_in_a_file_name_is_evidence(home, tmp_path, monkeypatch):
    monkeypatch.setattr(
        open_clip, "list_pretrained_tags_by_model", lambda arch: ["laion400m", "laion400m_e32"]
    )
    monkeypatch.setattr(
        open_clip.pretrained,
        "get_pretrained_cfg",
        lambda arch, tag: {"quick_gelu": True} if tag == "laion400m_e32" else {},
    )
    shutil.copy(home / "checkpoint.pt", tmp_path / "vit-laion400m_e32-46.pt")
    encoder = get_text_encoder(f"open_clip:{ARCH}/{tmp_path / 'vit-laion400m_e32-46.pt'}")
    assert "QuickGELU (by its name, laion400m_e32), but GELU" in encoder.encode_text(TEXTS).notes[0]


def test_tag_trained_with_quick_gelu(home, monkeypatch):
    tag = {"hf_hub": "x/y/", "quick_gelu": True}
    monkeypatch.setattr(open_clip.pretrained, "get_pretrained_cfg", lambda arch, name: tag)
    monkeypatch.setattr(
        open_clip.pretrained, "download_pretrained", lambda cfg: str(home / "checkpoint.pt")
    )
    encoded = get_text_encoder(f"open_clip:{ARCH}/sometag").encode_text(TEXTS)
    quick, _ = library(home, force_quick_gelu=True)
    plain, _ = library(home)
    torch.testing.assert_close(encoded.embeddings, quick, rtol=0, atol=1e-6)
    assert float((quick - plain).abs().max()) > 1e-5


def test_fingerprint_follows_weights_and_settings(home, tmp_path):
    def prints(folder):
        return get_text_encoder(f"open_clip:{folder}").fingerprint()

    for name in ("same", "weights", "config", "tokens"):
        shutil.copytree(home / "local", tmp_path / name)
    path = tmp_path / "weights" / "open_clip_model.safetensors"
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)

    for name, part, change in (
        ("config", None, {"quick_gelu": True}),
        ("tokens", "text_cfg", {"context_length": 12}),
    ):
        config = json.loads(json.dumps(CONFIG))
        (config[part] if part else config).update(change)
        file = tmp_path / name / "open_clip_config.json"
        file.write_text(json.dumps({"model_cfg": config}))

    original = prints(home / "local")
    assert prints(tmp_path / "same") == original
    assert prints(tmp_path / "weights").weights != original.weights
    assert prints(tmp_path / "weights").tokenizer == original.tokenizer
    assert prints(tmp_path / "config").weights != original.weights
    assert prints(tmp_path / "tokens").tokenizer != original.tokenizer


def test_context_length(home):
    encoder = get_text_encoder(f"open_clip:{home / 'local'}")
    fits, long = " ".join(["face"] * 14), " ".join(["face"] * 15)
    encoder.check_lengths([fits])  # 14 words, start and end
    with pytest.raises(PromptError, match=r"at most 16 tokens.*\(17\)"):
        encoder.check_lengths([fits, long])
    with pytest.raises(PromptError, match=r"\(42\)") as caught:
        encoder.check_lengths([" ".join(["face"] * 40)])
    assert len(str(caught.value)) < 300


def test_bank_of_a_checkpoint_is_cached(home, monkeypatch):
    spec = f"open_clip:{ARCH}/{home / 'checkpoint.pt'}"
    first = TextBank.build("paper", encoder=spec, classes=["happiness", "fear"])
    monkeypatch.setattr(open_clip, "create_model", lambda *a, **k: pytest.fail("loaded a model"))
    second = TextBank.build("paper", encoder=spec, classes=["happiness", "fear"])
    assert torch.equal(first.embeddings, second.embeddings)
    assert first.logit_scale == pytest.approx(33.0, rel=1e-5)


def test_unsuitable_weights_are_refused(home, tmp_path):
    bad = tmp_path / "bad.pt"
    torch.save({"x": torch.ones(1)}, bad)
    with pytest.raises(TextEncoderError, match="cannot load"):
        get_text_encoder(f"open_clip:{ARCH}/{bad}").encode_text(TEXTS)
    bad.write_bytes(b"nothing")
    with pytest.raises(TextEncoderError, match="found a text file"):
        get_text_encoder(f"open_clip:{ARCH}/{bad}").encode_text(TEXTS)
    bad.write_bytes(b"\x00\xff\x01nothing\xfe")
    with pytest.raises(TextEncoderError, match="one that torch has not written"):
        get_text_encoder(f"open_clip:{ARCH}/{bad}").encode_text(TEXTS)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "an empty file"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:4d\nsize 1\n", "Git LFS pointer"),
        (b"<!DOCTYPE html><html>404</html>", "web page"),
    ],
)
def test_files_that_are_no_weights_are_named(home, tmp_path, content, words):
    for name in ("w.pt", "w.safetensors"):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(TextEncoderError, match=words):
            get_text_encoder(f"open_clip:{ARCH}/{tmp_path / name}").encode_text(TEXTS)


def test_weights_that_are_not_finite_are_refused(home, tmp_path):
    state = torch.load(home / "checkpoint.pt")
    state["visual.proj"][0, 0] = float("nan")
    torch.save(state, tmp_path / "w.pt")
    with pytest.raises(TextEncoderError, match=r"NaN.*visual\.proj"):
        get_text_encoder(f"open_clip:{ARCH}/{tmp_path / 'w.pt'}").encode_text(TEXTS)


def test_tokens_outside_the_table_are_refused(home, tmp_path):
    folder = shutil.copytree(home / "local", tmp_path / "small")
    config = json.loads(json.dumps(CONFIG))
    config["text_cfg"]["vocab_size"] = 30
    state = torch.load(home / "checkpoint.pt")
    state["token_embedding.weight"] = state["token_embedding.weight"][:30].clone()
    save_file(state, folder / "open_clip_model.safetensors")
    (folder / "open_clip_config.json").write_text(json.dumps({"model_cfg": config}))
    with pytest.raises(TextEncoderError, match=r"do not belong together.*below 30"):
        get_text_encoder(f"open_clip:{folder}").encode_text(TEXTS)


def test_a_naflex_tower_is_refused(home, tmp_path):
    folder = shutil.copytree(home / "local", tmp_path / "naflex")
    config = json.loads(json.dumps(CONFIG))
    config["vision_cfg"] = {"timm_model_name": "naflexvit_base_patch16_siglip", "image_size": 256}
    (folder / "open_clip_config.json").write_text(json.dumps({"model_cfg": config}))
    with pytest.raises(TextEncoderError, match=r"NaFlex.*naflexvit_base"):
        get_text_encoder(f"open_clip:{folder}")


def test_a_tag_brings_its_preprocessing(home, monkeypatch):
    tag = {"hf_hub": "x/y/", "mean": (0.5, 0.5, 0.5), "std": (0.5, 0.5, 0.5)}
    monkeypatch.setattr(open_clip.pretrained, "get_pretrained_cfg", lambda arch, name: tag)
    monkeypatch.setattr(
        open_clip.pretrained, "download_pretrained", lambda cfg: str(home / "checkpoint.pt")
    )
    model = get_text_encoder(f"open_clip:{ARCH}/sometag")
    model.load(torch.device("cpu"))
    assert model.preprocessing.mean == (0.5, 0.5, 0.5)


def test_absent_tag_offline():
    with pytest.raises(WeightsUnavailableError, match=r"open_clip:ViT-B-16/PATH"):
        get_text_encoder("open_clip:ViT-B-16/openai").fingerprint()


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ("open_clip:ViT-B-61/openai", "Did you mean 'ViT-B-16"),
        ("open_clip:ViT-B-16/opanai", "Did you mean 'openai'"),
        ("open_clip:ViT-B-16", "one of openai"),
        ("open_clip:ViT-B-16//no/such/file.pt", "no tag or checkpoint"),
    ],
)
def test_wrong_names(spec, words):
    with pytest.raises(TextEncoderError, match=words):
        get_text_encoder(spec)


def test_a_configuration_that_git_did_not_fetch_is_named(tmp_path):
    (tmp_path / "open_clip_config.json").write_text(
        "version https://git-lfs.github.com/spec/v1\noid sha256:4\nsize 1\n"
    )
    with pytest.raises(TextEncoderError, match=r"open_clip_config\.json.*Git LFS pointer"):
        get_text_encoder(f"open_clip:{tmp_path}")


def test_mistyped_paths_name_the_nearest_one(tmp_path, monkeypatch):
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs" / "epoch_3.pt").touch()
    monkeypatch.chdir(tmp_path)
    for source in ("./clip", "../clip", "~/clip", "clip/", "/clip", "runs/clip"):
        with pytest.raises(TextEncoderError, match=r"no folder '.*clip.*open_clip_config\.json"):
            get_text_encoder(f"open_clip:{source}")
    with pytest.raises(TextEncoderError, match=r"Did you mean 'runs/epoch_3\.pt'"):
        get_text_encoder(f"open_clip:{ARCH}/runs/epch_3.pt")


def test_wrong_folders(tmp_path):
    with pytest.raises(TextEncoderError, match="open_clip_config"):
        get_text_encoder(f"open_clip:{tmp_path}")
    (tmp_path / "open_clip_config.json").write_text(json.dumps({"model_cfg": CONFIG}))
    with pytest.raises(TextEncoderError, match="no weights"):
        get_text_encoder(f"open_clip:{tmp_path}")
