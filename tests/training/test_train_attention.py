"""Training with attention heads: enabled by one key, resumed exactly, shared by processes."""

from __future__ import annotations

import json
import os
import signal

import pytest
import torch
from command_line import run_ke2nt_twice
from safetensors.torch import load_file

from ke2nt.config.load import config_to_yaml
from ke2nt.errors import ConfigError
from ke2nt.losses.build import build_objective
from ke2nt.losses.objective import KE2NTLoss
from ke2nt.models.load import load_model
from ke2nt.training.checkpoint import latest_checkpoint
from ke2nt.training.engine import Engine
from ke2nt.training.interrupts import TrainingStopped
from ke2nt.training.run_directory import RunDirectory
from ke2nt.training.train_recognizer import train


def objective_of(config):
    return build_objective(config.loss, config.model.attention)


def state(run):
    return load_file(latest_checkpoint(run.checkpoints) / "state.safetensors")


@pytest.mark.parametrize("head", ["text", "linear"])
def test_attention_is_enabled_by_one_key(tiny, head):
    result = train(
        tiny("model.attention={fusion: learned}", f"model.head={head}", "optim.epochs=6"),
        quiet=True,
    )
    assert result.evaluation.report.accuracy > 0.6  # chance is a third
    losses = result.progress.records[0]["loss"]
    assert {"stage_1", "stage_2", "stage_3"} <= set(losses)
    model = load_model(result.run.model)
    output = model(torch.zeros(1, 3, 24, 24))
    assert output.stages
    assert model.fusion.weights.tolist() != pytest.approx([1 / 3] * 3, abs=1e-6)  # they moved


def test_run_with_attention_resumes_bit_for_bit(tiny, monkeypatch):
    changes = ("model.attention={supervise: all}", "model.dropout=0.2", "optim.ema=0.9")
    whole = train(tiny(*changes, out="whole"), quiet=True).run
    config = tiny(*changes, out="stopped")
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
    run = RunDirectory(config.out)
    resumed = train(run.load_config(), resume=True, quiet=True).run
    first, second = state(whole), state(resumed)
    assert first.keys() == second.keys()
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert any("side_projections" in name for name in first)


def test_layer_decay_with_attention(tiny):
    changes = ("model.attention=true", "optim.layer_decay=0.5", "optim.epochs=2")
    run = train(tiny(*changes), quiet=True).run
    moved = state(run)
    assert all(value.isfinite().all() for value in moved.values())


def test_objective_follows_the_configuration(tiny):
    assert isinstance(objective_of(tiny()), KE2NTLoss)
    loss = objective_of(tiny("model.attention={stages: 2, supervision: [0.1, 0.4]}"))
    assert loss.weights == [0.1, 0.4]
    assert set(loss.stage_loss.losses) == {"similarity"}
    assert loss.loss.losses.keys() == {"similarity", "transformation", "self_contrast"}
    same = objective_of(tiny("model.attention={supervise: all}"))
    assert same.stage_loss is same.loss


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ("{stages: 2, supervision: [1]}", "supervision needs 2 numbers"),
        ("{fusion: fixed, fusion_weights: [0, 0, 0]}", "must not all be 0"),
        ("{fusion_weights: [1, 1, 1]}", "need fusion: fixed"),
        ("{kernel: 4}", "kernel must be odd"),
        ("{supervison: 1}", "did you mean model.attention.supervision"),
    ],
)
def test_wrong_attention_values_are_named(tiny, value, words):
    with pytest.raises(ConfigError, match=words):
        tiny(f"model.attention={value}")


def test_two_processes_equal_one(tiny, tmp_path):
    changes = ("model.attention={supervise: all}", "model.dropout=0", "optim.epochs=2")
    path = tmp_path / "two.yaml"
    path.write_text(config_to_yaml(tiny(*changes, out="two")), encoding="utf-8")
    for process in run_ke2nt_twice("train", path, "--quiet"):
        assert process.returncode == 0, process.stderr
    alone = train(tiny(*changes, out="one"), quiet=True)
    lines = (tmp_path / "two/log.jsonl").read_text().splitlines()
    for shared, single in zip(map(json.loads, lines), alone.progress.records, strict=True):
        assert shared["loss"] == pytest.approx(single["loss"], rel=1e-4)
