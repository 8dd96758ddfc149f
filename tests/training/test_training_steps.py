"""Single steps of the engine: precision, shared batches, waits for the device."""

from __future__ import annotations

import shutil

import numpy as np
import pytest
import torch
from training_runs import prepared

from ke2nt.data.sample import FaceSplit
from ke2nt.errors import TrainingError
from ke2nt.models.ke2nt import KE2NT
from ke2nt.training import engine, recognition_task
from ke2nt.training.progress import Progress
from ke2nt.training.sampling import EpochBatches
from ke2nt.training.task import Position


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_step_uses_channels_last_and_the_precision(tiny, monkeypatch, precision):
    seen = []
    real = KE2NT.forward

    def forward(self, images):
        last = images.is_contiguous(memory_format=torch.channels_last)
        seen.append((last, torch.is_autocast_enabled("cpu")))
        return real(self, images)

    monkeypatch.setattr(KE2NT, "forward", forward)
    engine = prepared(tiny(f"precision={precision}"))
    engine.train_epoch(Progress())
    state = engine.task.state
    assert set(seen) == {(True, precision == "bf16")}
    filters = [p for p in state.model.parameters() if p.ndim == 4 and p.shape[1] * p.shape[2] > 1]
    assert filters
    assert all(p.is_contiguous(memory_format=torch.channels_last) for p in filters)
    assert all(group["fused"] for group in state.optimizer.param_groups)


def test_processes_mix_in_the_same_way(tiny, monkeypatch):
    task = prepared(tiny("augment.mixup=1", "augment.cutmix=1")).task
    batch = next(task.data.train.batches(8))
    for step in range(4):
        found = []
        for number in (0, 1):
            monkeypatch.setattr(recognition_task, "rank", lambda number=number: number)
            found.append(task.prepare(batch, Position(0, step, 5, 3)).mixing)
        assert all(map(torch.equal, *found))


def test_image_lost_from_a_shared_batch_stops_the_run(tiny, monkeypatch):
    trainer = prepared(tiny())
    monkeypatch.setattr(engine, "world_size", lambda: 2)
    trainer.data.train.failed["train/anger/3.png"] = "gone"
    few = next(trainer.data.train.batches(3))
    with pytest.raises(TrainingError, match=r"became unreadable.*3\.png: gone.*--resume"):
        trainer.train_step(few, Progress())
    none = few._replace(pixels=few.pixels[:0], indices=few.indices[:0])
    monkeypatch.setattr(EpochBatches, "read", lambda self, order: iter([none]))
    with pytest.raises(TrainingError, match=r"became unreadable"):
        trainer.train_epoch(Progress())


@pytest.mark.parametrize("readable", [0, 1])
def test_batch_of_unreadable_images_is_left_out(tiny, faces, tmp_path, monkeypatch, readable):
    root = tmp_path / "faces"
    shutil.copytree(faces, root)
    config = tiny(
        f"data.root={root}", "data.memory=lazy", "optim.epochs=1", "optim.warmup_epochs=0"
    )
    trainer = prepared(config)
    order = trainer.data.train.usable[:24].view(3, 8)
    for i in order[1, readable:]:
        trainer.data.train.split.samples[int(i)].source.write_bytes(b"broken")
    monkeypatch.setattr("ke2nt.training.sampling.epoch_order", lambda *args: order.flatten())
    trainer.batches.steps_per_epoch = trainer.steps_per_epoch = 3
    progress = Progress()
    trainer.train_epoch(progress)
    assert (progress.step, progress.skipped) == (3, 1)
    assert len(trainer.data.train.failed) == 8 - readable


def test_soft_labels_reach_the_loss(tiny, monkeypatch):
    shares = np.random.default_rng(0).dirichlet([1, 1, 1], 64).astype(np.float32)
    monkeypatch.setattr(FaceSplit, "distributions", lambda self: shares[: len(self)])
    trainer = prepared(tiny("data.soft_labels=true"))
    batch = next(trainer.data.train.batches(8))
    learned = []
    real = trainer.task.loss.forward

    def forward(output, labels, bank):
        learned.append(labels.cpu())
        return real(output, labels, bank)

    monkeypatch.setattr(trainer.task.loss, "forward", forward)
    trainer.train_step(batch, Progress())
    assert torch.equal(*learned, torch.from_numpy(shares)[batch.indices])


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("memory", ["ram", "device"])
def test_host_does_not_wait_for_the_gpu_within_a_step(tiny, memory):
    config = tiny("device=cuda", f"data.memory={memory}", "augment.cutmix=1", "optim.ema=0.9")
    trainer = prepared(config)
    trainer.train_epoch(Progress())
    progress = Progress(step=1)
    batches = list(trainer.data.train.batches(8))
    torch.cuda.set_sync_debug_mode("error")
    try:
        for batch in batches[:3]:
            trainer.train_step(batch, progress)
            progress.step += 1
    finally:
        torch.cuda.set_sync_debug_mode("default")
