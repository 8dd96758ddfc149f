"""Runs whose backbone is the image tower of a vision-language model."""

from __future__ import annotations

import os
import signal

import pytest
import torch
import yaml
from safetensors.torch import load_file
from tiny_towers import vision_language_model

from ke2nt.errors import ConfigError, TextEncoderError
from ke2nt.models.load import load_model
from ke2nt.training.checkpoint import latest_checkpoint
from ke2nt.training.engine import Engine
from ke2nt.training.interrupts import TrainingStopped
from ke2nt.training.names import check_names
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


def test_another_text_encoder_gets_a_projection(tower):
    result = train(tower("optim.epochs=1", encoder="minilm"), quiet=True)
    assert load_model(result.run.model).projection.weight.shape == (384, 12)


def test_a_size_that_is_not_the_towers_is_refused(tower):
    config = tower()
    values = config.model.model_copy(update={"image_size": 48})
    with pytest.raises(ConfigError, match=r"differs from that of the image tower.*24.*48"):
        train(config.model_copy(update={"model": values}), quiet=True)


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
