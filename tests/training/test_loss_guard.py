"""Losses that are not finite, and too little memory."""

from __future__ import annotations

import errno
import math

import pytest
import torch
from safetensors.torch import load_file

from ke2nt.data.tensors import FaceTensors
from ke2nt.errors import TrainingError
from ke2nt.training import engine, recognition_task
from ke2nt.training.checkpoint import latest_checkpoint
from ke2nt.training.image_augmenter import ImageAugmenter
from ke2nt.training.loss_guard import LossGuard
from ke2nt.training.run_directory import RunDirectory
from ke2nt.training.train_recognizer import train


@pytest.fixture
def nan_in_steps(monkeypatch):
    """Make the loss of some steps of a run, counted from 0, not finite."""

    def install(steps):
        real, count = recognition_task.KE2NTLoss.forward, iter(range(10**6))

        def broken(self, *args):
            total, parts = real(self, *args)
            return total * float("nan") if next(count) in steps else total, parts

        monkeypatch.setattr(recognition_task.KE2NTLoss, "forward", broken)

    return install


def test_not_finite_loss_stops_and_saves_the_batch(tiny, nan_in_steps):
    nan_in_steps({2})
    config = tiny()
    with pytest.raises(TrainingError, match=r"NaN or infinite.*epoch 1, step 3.*optim\.lr"):
        train(config, quiet=True)
    run = RunDirectory(config.out)
    facts = run.read("not_finite.json")
    batch = load_file(run.path / "not_finite.safetensors")
    assert len(facts["names"]) == 8 == len(batch["labels"])
    assert batch["pixels"].shape == (8, 3, 24, 24)
    classes = [name.split("/")[-2] for name in facts["names"]]
    order = facts["classes"]
    assert [order[i] for i in batch["labels"].tolist()] == classes


@pytest.mark.parametrize("main", [True, False])
def test_main_process_saves_the_failed_batch(tiny, nan_in_steps, monkeypatch, main):
    monkeypatch.setattr("ke2nt.training.loss_guard.is_main", lambda: main)
    nan_in_steps({1})
    config = tiny()
    with pytest.raises(TrainingError, match="NaN or infinite"):
        train(config, quiet=True)
    assert len(list(RunDirectory(config.out).path.glob("not_finite*"))) == (2 if main else 0)


def test_unwritable_batch_does_not_hide_the_error(tiny, nan_in_steps, monkeypatch):
    def full(path, data):
        raise OSError(errno.ENOSPC, "No space left on device", str(path))

    monkeypatch.setattr("ke2nt.training.loss_guard.write_bytes", full)
    nan_in_steps({1})
    with pytest.raises(TrainingError, match=r"NaN or infinite.*cannot be written .*No space left"):
        train(tiny(), quiet=True)


@pytest.mark.parametrize("bad", [1, 3, 4, 7])
def test_deferred_checks_save_the_same_batch(tiny, nan_in_steps, monkeypatch, bad):
    """As on a GPU: checked after each fourth step and at the end of an epoch of five."""
    changes = "optim.epochs=2", "augment.rotate=10"
    kept = {}
    for late in (False, True):
        if late:
            monkeypatch.setattr(LossGuard, "deferred", True)
            monkeypatch.setattr(engine, "_CHECK_EVERY", 4)
        nan_in_steps({bad})
        config = tiny(*changes, out=f"late-{late}")
        with pytest.raises(TrainingError, match=r"NaN or infinite.*found nan in epoch"):
            train(config, quiet=True)
        run = RunDirectory(config.out)
        kept[late] = run.read("not_finite.json"), load_file(run.path / "not_finite.safetensors")
    assert kept[True][0] == kept[False][0]
    assert kept[True][0]["epoch"] * 5 + kept[True][0]["step"] == 6 + bad
    for name in ("pixels", "labels"):
        assert torch.equal(kept[True][1][name], kept[False][1][name])


def test_not_finite_steps_are_skipped_and_counted(tiny, nan_in_steps):
    nan_in_steps({1, 3, 7})
    result = train(tiny("optim.not_finite=skip", "optim.epochs=2"), quiet=True)
    assert [r.get("skipped", 0) for r in result.progress.records] == [2, 1]
    assert all(math.isfinite(r["loss"]["total"]) for r in result.progress.records)


def test_skipped_step_changes_no_statistics(tiny, monkeypatch):
    real, count = ImageAugmenter.model_input, iter(range(10**6))

    def infinite(self, images):
        return real(self, images) * (float("inf") if next(count) == 2 else 1.0)

    monkeypatch.setattr(ImageAugmenter, "model_input", infinite)
    result = train(tiny("optim.not_finite=skip", "optim.epochs=2"), quiet=True)
    assert [r.get("skipped", 0) for r in result.progress.records] == [1, 0]
    state = load_file(latest_checkpoint(result.run.checkpoints) / "state.safetensors")
    counts = {int(v) for k, v in state.items() if k.endswith("num_batches_tracked")}
    assert counts == {9}  # 10 steps in the model; those of the average follow it
    assert all(v.isfinite().all() for v in state.values())


def test_skipping_stops_if_no_step_is_finite(tiny, nan_in_steps):
    nan_in_steps(set(range(1000)))
    with pytest.raises(TrainingError, match="NaN or infinite"):
        train(tiny("optim.not_finite=skip", "optim.epochs=9"), quiet=True)


def _no_gpu_memory():
    raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB\nmore")


def _no_memory():
    torch.empty(2**58)


@pytest.mark.parametrize("allocate", [_no_gpu_memory, _no_memory])
def test_out_of_memory_says_what_to_lower(tiny, monkeypatch, allocate):
    def fail(self, *args):
        allocate()

    monkeypatch.setattr(recognition_task.KE2NTLoss, "forward", fail)
    with pytest.raises(TrainingError, match=r"not enough memory.*batch_size=8.*Lower optim"):
        train(tiny(), quiet=True)


def test_out_of_memory_for_images_suggests_ram(tiny, monkeypatch):
    monkeypatch.setattr(FaceTensors, "to", lambda self, device: _no_gpu_memory())
    with pytest.raises(TrainingError, match=r"not enough memory.*Use data\.memory=ram"):
        train(tiny("data.memory=device"), quiet=True)


def test_other_runtime_errors_are_unchanged(tiny, monkeypatch):
    def fail(self, *args):
        raise RuntimeError("something else")

    monkeypatch.setattr(recognition_task.KE2NTLoss, "forward", fail)
    with pytest.raises(RuntimeError, match="something else"):
        train(tiny(), quiet=True)
