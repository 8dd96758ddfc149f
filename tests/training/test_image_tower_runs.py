"""Runs whose backbone is the image tower of a vision-language model."""

from __future__ import annotations

import os
import signal

import pytest
import torch
import yaml
from safetensors.torch import load_file
from tiny_towers import vision_language_model

from ke2nt.blending.ingredients import read_ingredients
from ke2nt.config.load import load_config
from ke2nt.errors import ConfigError, ModelError, TextEncoderError
from ke2nt.models.ke2nt import KE2NT
from ke2nt.models.load import load_model
from ke2nt.training.checkpoint import latest_checkpoint
from ke2nt.training.engine import Engine
from ke2nt.training.image_tower import resolve_image_size
from ke2nt.training.initial_model import build_initial_model
from ke2nt.training.interrupts import TrainingStopped
from ke2nt.training.names import check_names
from ke2nt.training.starting_model import read_starting_model
from ke2nt.training.train_recognizer import train


@pytest.fixture(scope="session")
def spec(tmp_path_factory):
    return vision_language_model(tmp_path_factory.mktemp("towers"), "open_clip-clip")


@pytest.fixture
def tower(tiny, spec, monkeypatch):
    """Make a configuration with this tower, and its text, of which the image size is not set."""

    def make(*overrides, out="run", encoder=spec):
        config = tiny(
            f"model.backbone={spec}",
            f"text.encoder={encoder}",
            "model.gray=false",
            *overrides,
            out=out,
        )
        config.model.model_fields_set.discard("image_size")
        return config

    return make


def state(run):
    return load_file(latest_checkpoint(run.checkpoints) / "state.safetensors")


def test_a_run_takes_size_preprocessing_and_projection_from_the_tower(tower, spec):
    result = train(tower("optim.epochs=2"), quiet=True)

    config = yaml.safe_load((result.run.path / "config.yaml").read_text())
    assert config["model"]["image_size"] == 24
    model = load_model(result.run.model)
    assert model.preprocessing.mean == (0.48, 0.46, 0.41)
    assert model.preprocessing.resize_mode == "shortest"
    assert model.architecture["projection"] == "none"
    assert model.provenance["initial_weights"]["source"] == "open_clip:open_clip-clip"

    # a second run starts from the first one without the original files
    start = tower(f"start={result.run.path}", "optim.epochs=1", out="second")
    values = start.model.model_copy(update={"backbone": "resnet18"})
    values.model_fields_set.clear()
    again = train(start.model_copy(update={"model": values}), quiet=True)
    assert load_model(again.run.model).architecture["tower"] == model.architecture["tower"]


@pytest.fixture
def words_alone(spec, tmp_path):
    """A recognizer from words, saved from a model in a local folder."""
    KE2NT.from_vlm(spec, "simple", ["neutral", "happiness", "anger"]).save_pretrained(
        tmp_path / "clip"
    )
    return tmp_path / "clip"


def test_a_start_from_a_local_folder_keeps_its_texts(tower, words_alone, spec):
    same = "text.prompts=simple"
    config = tower(f"start={words_alone}", same, encoder="auto")
    assert resolved(config).text.bank == "start"

    # the name of the folder is accepted for the tower that came from it, as is its id
    assert resolved(config).model.backbone == "open_clip:open_clip-clip"
    stored = "model.backbone=open_clip:open_clip-clip"
    named = tower(f"start={words_alone}", stored, same, encoder="auto")
    assert resolved(named).model.image_size == 24


def test_other_texts_of_a_local_folder_need_its_name(tower, words_alone, spec):
    stored = "model.backbone=open_clip:open_clip-clip"
    config = tower(f"start={words_alone}", stored, "text.prompts=paper", encoder="auto")
    expected = r"text\.prompts .*text\.encoder=open_clip:FOLDER.*text\.bank=start"
    with pytest.raises(ConfigError, match=expected):
        resolved(config)
    # by its folder as the backbone, or as the text encoder
    for encoder in ("auto", spec):
        named = resolved(tower(f"start={words_alone}", "text.prompts=paper", encoder=encoder))
        assert (named.text.encoder, named.text.bank) == (spec, None)
    kept = tower(f"start={words_alone}", "text.prompts=paper", "text.bank=start", encoder="auto")
    assert resolved(kept).text.bank == "start"


def test_conflicts_with_the_start_say_what_to_type(tower, words_alone):
    config = tower(f"start={words_alone}", "model.backbone=resnet18", encoder="auto")
    with pytest.raises(ConfigError, match=r"Type model\.backbone=open_clip:open_clip-clip,"):
        resolved(config)
    config = tower(f"start={words_alone}", "model.attention=true", encoder="auto")
    with pytest.raises(ConfigError, match=r"Type model\.attention=null,"):
        resolved(config)


def resolved(config, classes=("neutral", "happiness", "anger")):
    """The configuration after the model to start from has decided what it leaves open."""
    start = read_starting_model(config)
    return start.resolve_text(start.resolve_model(config), classes)


CHANGES = ("augment.mixup=0.4", "optim.ema=0.9", "loss.label_smoothing=0.1")


@pytest.mark.parametrize("changes", [(), ("model.attention={supervise: all}",)])
def test_a_run_resumes_bit_for_bit(tower, monkeypatch, changes):
    whole = train(tower(*CHANGES, *changes, out="whole"), quiet=True).run
    config = tower(*CHANGES, *changes, out="stopped")
    steps, real = [0], Engine.train_step

    def step_then_interrupt(self, batch, progress):
        parts = real(self, batch, progress)
        steps[0] += 1
        if steps[0] == 4:
            os.kill(os.getpid(), signal.SIGINT)
        return parts

    monkeypatch.setattr(Engine, "train_step", step_then_interrupt)
    with pytest.raises(TrainingStopped):
        train(config, quiet=True)
    monkeypatch.setattr(Engine, "train_step", real)
    resumed = train(config, resume=True, quiet=True).run

    first, second = state(whole), state(resumed)
    assert first.keys() == second.keys()
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_a_learned_bias_trains_and_goes_on_in_the_next_run(tower):
    sigmoid = ("loss.similarity_form=sigmoid", "text.learn_logit_bias=true", "optim.epochs=1")
    run = train(tower(*sigmoid, "loss.similarity_bias=-2"), quiet=True).run
    first = load_model(run.model)
    assert first.architecture["learned_logit_bias"] == -2
    assert first.logit_bias.item() != -2

    options = ("loss.similarity_form=sigmoid", "text.prompts=paper", "model.image_size=null")
    config = resolved(tower(f"start={run.path}", *options, "loss.similarity_bias=-2"))
    assert config.text.learn_logit_bias
    classes = ("neutral", "happiness", "anger")
    model = build_initial_model(config, classes, first.preprocessing)
    assert torch.equal(model.logit_bias, first.logit_bias)

    # it does not stand between a model without it and an average
    assert "logit_bias" not in read_ingredients([run.path, run.path]).states[0]
    with pytest.raises(ConfigError, match=r"learn_logit_bias needs loss\.similarity_form=sigmoid"):
        tower("text.learn_logit_bias=true")


def test_another_text_encoder_gets_a_projection(tower):
    result = train(tower("optim.epochs=1", encoder="minilm"), quiet=True)
    assert load_model(result.run.model).projection.weight.shape == (384, 12)


def test_another_size_is_interpolated_and_said(tower, capsys):
    config = tower("optim.epochs=1")
    sized = config.model.model_copy(update={"image_size": 32})
    config = config.model_copy(update={"model": sized})
    resolve_image_size(config, quiet=False)
    assert "32 px; open_clip:open_clip-clip was trained with 24" in capsys.readouterr().err

    run = train(config, quiet=True).run
    model = load_model(run.model)
    assert model.preprocessing.image_size == 32
    assert model.preprocessing.resize_mode == "shortest"
    assert model.backbone.net.visual.positional_embedding.shape == (17, 16)

    # a run starts from it at its size
    again = train(
        tower(f"start={run.path}", "model.image_size=null", "optim.epochs=1", out="second"),
        quiet=True,
    )
    assert load_model(again.run.model).preprocessing.image_size == 32


def test_a_size_that_does_not_fit_the_patches_is_refused_before_images_are_read(tower):
    config = tower("data.root=nowhere")
    values = config.model.model_copy(update={"image_size": 30})
    with pytest.raises(ModelError, match=r"multiple of 8.*found 30.*model\.image_size=null"):
        train(config.model_copy(update={"model": values}), quiet=True)


def test_null_is_the_size_of_the_tower_under_any_shipped_configuration(spec):
    overrides = [f"model.backbone={spec}", "model.weights=null", "model.image_size=null"]
    config = load_config("ferplus_few_labels", overrides)
    assert resolve_image_size(config).model.image_size == 24
    # and the default of other backbones
    assert load_config("ferplus_few_labels", ["model.image_size=null"]).model.image_size == 112


def test_names_are_checked_first(tower, monkeypatch):
    config = tower()
    values = config.model.model_copy(update={"backbone": "open_clip:ViT-B-61/openai"})
    with pytest.raises(TextEncoderError, match="ViT-B-16"):
        check_names(config.model_copy(update={"model": values}))


def test_absent_weights_are_named_before_anything_is_written(tower, monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    config = tower(out="none")
    values = config.model.model_copy(update={"backbone": "open_clip:ViT-B-16/openai"})
    with pytest.raises(TextEncoderError, match=r"not on this machine.*open_clip:ViT-B-16/PATH"):
        train(config.model_copy(update={"model": values}), quiet=True)
    assert not (tmp_path / "none").exists()
