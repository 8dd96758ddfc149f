"""Interrupted runs: stopped, resumed, and refused."""

from __future__ import annotations

import json
import os
import shutil
import signal

import pytest
import torch
from training_runs import assert_same_run, state

from ke2nt.config.load import override_config
from ke2nt.errors import CheckpointError, TrainingError
from ke2nt.training.checkpoint import latest_checkpoint
from ke2nt.training.engine import Engine
from ke2nt.training.interrupts import TrainingStopped
from ke2nt.training.run_directory import RunDirectory
from ke2nt.training.train_recognizer import train


@pytest.mark.parametrize(("stop_at", "options"), [(4, ()), (5, ("optim.ema=null",))])
def test_run_resumed_after_ctrl_c_equals_an_uninterrupted_one(tiny, monkeypatch, stop_at, options):
    whole = train(tiny(*options, "model.dropout=0.2", out="whole"), quiet=True).run
    config = tiny(*options, "model.dropout=0.2", out="stopped")
    steps, real = [0], Engine.train_step

    def step_then_interrupt(self, batch, progress):
        parts = real(self, batch, progress)
        steps[0] += 1
        if steps[0] == stop_at:  # in the first epoch, and after its last step
            os.kill(os.getpid(), signal.SIGINT)
        return parts

    monkeypatch.setattr(Engine, "train_step", step_then_interrupt)
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(TrainingStopped):
        train(config, quiet=True)
    assert signal.getsignal(signal.SIGINT) is before
    run = RunDirectory(config.out)
    assert "stopped" in run.read("run.json")["status"]
    resumed = train(run.load_config(), resume=True, quiet=True).run
    assert_same_run(whole, resumed)
    assert resumed.read("run.json")["status"] == "finished"


def test_sigterm_during_the_last_evaluation(tiny, monkeypatch):
    whole = train(tiny(out="whole"), quiet=True).run
    config = tiny(out="stopped")
    real = Engine._evaluate

    def interrupted(self, progress):
        if progress.epoch == 2:
            os.kill(os.getpid(), signal.SIGTERM)
        return real(self, progress)

    monkeypatch.setattr(Engine, "_evaluate", interrupted)
    with pytest.raises(TrainingStopped):
        train(config, quiet=True)
    monkeypatch.setattr(Engine, "_evaluate", real)
    assert_same_run(whole, train(config, resume=True, quiet=True).run)


def test_sgd_resumes_exactly_after_a_crash(tiny, monkeypatch):
    whole = train(tiny("optim.name=sgd", out="whole"), quiet=True).run
    config = tiny("optim.name=sgd", out="cut")
    real = Engine._evaluate

    def fail_in_the_second_epoch(self, progress):
        if progress.epoch == 1:
            raise OSError("the power went")
        return real(self, progress)

    monkeypatch.setattr(Engine, "_evaluate", fail_in_the_second_epoch)
    with pytest.raises(OSError, match="power"):
        train(config, quiet=True)
    monkeypatch.setattr(Engine, "_evaluate", real)
    assert_same_run(whole, train(config, resume=True, quiet=True).run)


def test_resuming_a_finished_run_changes_nothing(tiny):
    run = train(tiny(), quiet=True).run
    before = state(run)
    train(run.load_config(), resume=True, quiet=True)
    assert all(torch.equal(before[k], v) for k, v in state(run).items())


@pytest.fixture
def write_manifest(faces, tmp_path):
    """Write a manifest whose first training face has the given label."""

    def write(label):
        rows = ["path,label,split"]
        for split in ("train", "val"):
            for path in sorted((faces / split).rglob("*.png")):
                rows.append(f"{path},{path.parent.name},{split}")
        first, *rest = rows[1].split(",")
        rows[1] = ",".join([first, label, *rest[1:]])
        (tmp_path / "people.csv").write_text("\n".join(rows) + "\n")
        return tmp_path / "people.csv"

    return write


def test_existing_run_is_never_overwritten(tiny):
    train(tiny(), quiet=True)
    with pytest.raises(TrainingError, match=r"--resume .*run"):
        train(tiny(), quiet=True)


def test_changed_configuration_is_refused_on_resume(tiny):
    run = train(tiny("optim.epochs=2"), quiet=True).run
    text = (run.path / "config.yaml").read_text()
    for old, new, words in (
        ("batch_size: 8", "batch_size: 4", r"optim\.batch_size=8; found 4.*Restore the value"),
        ("prompts: paper", "prompts: facs", r'text\.prompts="paper"; found "facs"'),
        ("epochs: 2\n", "epochs: 3\n", r"optim\.epochs=2"),
    ):
        assert old in text
        (run.path / "config.yaml").write_text(text.replace(old, new))
        with pytest.raises(CheckpointError, match=words):
            train(run.load_config(), resume=True, quiet=True)
    (run.path / "config.yaml").write_text(text.replace("memory: auto", "memory: lazy"))
    train(run.load_config(), resume=True, quiet=True)


def test_changed_labels_are_refused_on_resume(tiny, write_manifest):
    config = tiny("data.name=manifest", f"data.root={write_manifest('anger')}", "optim.epochs=2")
    train(config, quiet=True)
    write_manifest("happiness")
    with pytest.raises(CheckpointError, match="splits or labels differ"):
        train(config, resume=True, quiet=True)


def test_changed_data_is_refused_on_resume(tiny, faces, tmp_path):
    config = tiny("data.fraction=0.5")
    train(config, quiet=True)
    with pytest.raises(CheckpointError, match="dataset has changed"):
        train(config.model_copy(update={"seed": 1}), resume=True, quiet=True)


def test_finished_run_without_checkpoints_is_not_trained_again(tiny):
    run = train(tiny("optim.epochs=2"), quiet=True).run
    weights = (run.model / "model.safetensors").read_bytes()
    shutil.rmtree(run.checkpoints)
    with pytest.raises(CheckpointError, match="finished, and its checkpoints have been removed"):
        train(override_config(run.load_config(), ["data.root=gone"]), resume=True, quiet=True)
    assert (run.model / "model.safetensors").read_bytes() == weights


@pytest.mark.parametrize(("name", "value"), [("step", 10**6), ("epoch", 4)])
def test_checkpoint_beyond_the_end_is_refused(tiny, name, value):
    run = train(tiny(), quiet=True).run
    path = latest_checkpoint(run.checkpoints) / "state.json"
    facts = json.loads(path.read_text())
    facts["progress"][name] = value
    path.write_text(json.dumps(facts))
    with pytest.raises(CheckpointError, match="up to 3 epochs of 5 steps"):
        train(run.load_config(), resume=True, quiet=True)


def test_damaged_checkpoint_is_named(tiny):
    run = train(tiny(), quiet=True).run
    path = latest_checkpoint(run.checkpoints)
    data = bytearray((path / "state.safetensors").read_bytes())
    data[-20] ^= 1
    (path / "state.safetensors").write_bytes(data)
    with pytest.raises(CheckpointError, match=path.name):
        train(run.load_config(), resume=True, quiet=True)
