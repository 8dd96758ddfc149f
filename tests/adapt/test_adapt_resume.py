"""Interrupted adaptations, changed data, and the training of the source model."""

from __future__ import annotations

import os
import shutil
import signal

import pytest
import torch
from adapt_domains import draw
from adapted_weights import assert_same_weights, load_weights, weights_differ
from safetensors.torch import load_file

from ke2nt.adapt.adapt_model import adapt
from ke2nt.config.adapt import AdaptConfig
from ke2nt.errors import CheckpointError, TrainingError
from ke2nt.models.load import load_model
from ke2nt.training.checkpoint import latest_checkpoint
from ke2nt.training.engine import Engine
from ke2nt.training.interrupts import TrainingStopped
from ke2nt.training.run_directory import RunDirectory


@pytest.mark.parametrize(
    ("stop_at", "options"),
    [
        (2, ("adapt.balance=0.5", "adapt.teacher=average", "adapt.batch_norm=joint")),
        (3, ("adapt.method=cdan", "optim.name=adamw", "model.dropout=0.1")),
        (1, ("adapt.method=entropy",)),
    ],
)
def test_stopped_run_resumes_bit_for_bit(tiny, monkeypatch, stop_at, options):
    whole = adapt(tiny(*options, out="whole"), quiet=True).run
    config = tiny(*options, out="stopped")
    steps, real = [0], Engine.train_step

    def step_then_interrupt(self, batch, progress):
        parts = real(self, batch, progress)
        steps[0] += 1
        if steps[0] == stop_at:
            os.kill(os.getpid(), signal.SIGINT)
        return parts

    monkeypatch.setattr(Engine, "train_step", step_then_interrupt)
    with pytest.raises(TrainingStopped):
        adapt(config, quiet=True)
    run = RunDirectory(config.out)
    assert "stopped" in run.read("run.json")["status"]
    resumed = adapt(run.load_config(AdaptConfig), resume=True, quiet=True).run
    assert_same_weights(
        *(
            load_file(latest_checkpoint(r.checkpoints) / "state.safetensors")
            for r in (whole, resumed)
        )
    )
    assert_same_weights(load_weights(whole), load_weights(resumed))
    assert whole.read("adaptation.json") == resumed.read("adaptation.json")


def test_changed_target_is_refused_at_resume(tiny, tmp_path):
    draw(tmp_path / "small", 4, shift=0.5, seed=5)
    config = tiny(f"target.root={tmp_path}/small", "optim.epochs=1")
    run = adapt(config, quiet=True).run
    next((tmp_path / "small" / "anger").iterdir()).unlink()
    with pytest.raises(CheckpointError, match="dataset has changed"):
        adapt(run.load_config(AdaptConfig), resume=True, quiet=True)
    with pytest.raises(TrainingError, match="already holds a run"):
        adapt(config, quiet=True)


def test_changed_start_is_refused_at_resume(tiny, source_model, tmp_path):
    shutil.copytree(source_model, tmp_path / "start")
    config = tiny(f"start={tmp_path}/start", "optim.epochs=1", "keep=true")
    run = adapt(config, quiet=True).run
    assert run.read("start.json")["model"] == "start"

    model = load_model(tmp_path / "start")
    with torch.no_grad():
        next(model.parameters()).add_(0.1)
    model.save_pretrained(tmp_path / "start" / "model")
    with pytest.raises(CheckpointError, match="the model to start from has changed"):
        adapt(run.load_config(AdaptConfig), resume=True, quiet=True)

    # a run of a version that recorded no model
    (run.path / "start.json").unlink()
    with pytest.raises(CheckpointError, match="expected no recorded model"):
        adapt(run.load_config(AdaptConfig), resume=True, quiet=True)


def test_source_is_trained_first_without_a_start(tiny, monkeypatch):
    monkeypatch.setattr(
        "ke2nt.training.train_recognizer.write_training_report", lambda *a, **k: None
    )
    config = tiny("start=null", "optim.epochs=1", "source_optim={epochs: 2, batch_size: 14}")
    result = adapt(config, quiet=True)
    source = RunDirectory(f"{config.out}/source")
    assert source.load_config().optim.epochs == 2
    assert source.read("metrics.json")["n"] == 18
    assert weights_differ(load_weights(source), load_weights(result))
