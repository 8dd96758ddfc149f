"""The engine with a small task of two turns: order of calls, skipped steps, kept epochs."""

from __future__ import annotations

from typing import NamedTuple

import pytest
import torch
from torch import nn

from ke2nt.config.schema import TrainConfig
from ke2nt.data.tensors import FaceTensors
from ke2nt.errors import TrainingError
from ke2nt.speed.training import random_faces
from ke2nt.training.compute import Compute
from ke2nt.training.display import Display
from ke2nt.training.ema import ModelEma
from ke2nt.training.engine import Engine
from ke2nt.training.progress import Progress
from ke2nt.training.run_directory import RunDirectory
from ke2nt.training.state import TrainingState
from ke2nt.training.task import EpochReport, StepResult, Task
from ke2nt.training.training_data import TrainingData


class Inputs(NamedTuple):
    """Pixels of a step and its number."""

    pixels: torch.Tensor
    done: int


class TwoTurns(Task):
    """Trains `extra` in each step and `model` in every second one."""

    command = "ke2nt two"
    all_turns = ("extra", "model")

    def __init__(self, config, bad=()):
        model, extra = nn.BatchNorm2d(3), nn.Linear(3, 1)
        optimizer = torch.optim.SGD([*model.parameters(), *extra.parameters()], lr=0.1)
        self.state = TrainingState(model, optimizer, ModelEma(model, 0.5), extra)
        self.compute = Compute(torch.device("cpu"))
        self.config = config
        self.bad = bad
        self.calls = []

    @property
    def optim(self):
        return self.config.optim

    def learning_rate(self, position):
        return 0.1

    def turns(self, position):
        return self.all_turns if position.done % 2 == 0 else ("extra",)

    def prepare(self, batch, position):
        return Inputs(batch.pixels.float() / 255, position.done)

    def step(self, inputs, turn):
        self.calls.append((inputs.done, turn))
        pooled = self.state.model(inputs.pixels).square().mean(dim=(2, 3))
        if turn == "extra":
            loss = self.state.extra(pooled.detach()).square().mean()
        else:
            loss = pooled.mean()
        if (inputs.done, turn) in self.bad:
            loss = loss * float("nan")
        return StepResult(loss, {turn: loss.detach()})

    def after_step(self, position, turn):
        if turn == "model":
            super().after_step(position, turn)

    def evaluate(self, progress):
        epoch = progress.epoch + 1
        return EpochReport({"odd": epoch % 2}, kept=epoch % 2 == 1, score=float(epoch))

    def save_model(self, epoch, score):
        self.calls.append(("save", epoch, score))


@pytest.fixture
def engine(tmp_path):
    """Build the engine of a run of two epochs of four steps."""

    def build(bad=(), **optim):
        options = {"epochs": 2, "batch_size": 4, "warmup_epochs": 0, **optim}
        config = TrainConfig(optim=options, out=str(tmp_path), device="cpu")
        split = random_faces(16, 8)
        tensors = FaceTensors(split, 8)
        data = TrainingData(tensors, tensors, torch.from_numpy(split.labels()))
        task = TwoTurns(config, bad)
        return Engine(task, config, RunDirectory(tmp_path), data, Display(quiet=True))

    return build


def test_turns_are_taken_in_order_and_kept_epochs_are_saved(engine):
    built = engine()
    progress = built.fit(Progress())
    assert built.task.calls[:4] == [(0, "extra"), (0, "model"), (1, "extra"), (2, "extra")]
    saves = [call for call in built.task.calls if call[0] == "save"]
    assert saves == [("save", 1, 1.0)]
    assert (progress.best, progress.best_epoch) == (1.0, 1)
    assert [record["odd"] for record in progress.records] == [1, 0]
    assert built.task.state.ema.updates == 4


def test_each_loss_part_is_averaged_over_its_steps(engine):
    built, progress = engine(), Progress()
    built.train_epoch(progress)
    assert progress.counts == {"extra": 4, "model": 2}
    assert progress.means()["model"] == pytest.approx(progress.sums["model"] / 2)


def test_skipped_turn_restores_buffers_and_leaves_out_the_step(engine):
    built = engine(bad={(2, "model")}, not_finite="skip")
    progress = Progress()
    built.train_epoch(progress)
    assert progress.skipped == 1
    assert progress.counts == {"extra": 3, "model": 1}
    # two passes in the first step, one in the second and fourth
    assert int(built.task.state.model.num_batches_tracked) == 4
    assert progress.skipped_in_a_row == 1  # the fourth step has no turn of the model


def test_series_of_skipped_steps_ends_with_the_last_turn(engine):
    bad = {(done, "model") for done in range(0, 100, 2)}
    built = engine(bad=bad, not_finite="skip", epochs=30)
    with pytest.raises(TrainingError, match=r"NaN or infinite.*epoch 10, step 3"):
        built.fit(Progress())


def test_out_of_memory_names_the_command_of_the_task(engine):
    built = engine()
    built.task.prepare = lambda batch, position: torch.empty(2**58)
    with pytest.raises(TrainingError, match=r"not enough memory.*ke2nt two --resume"):
        built.fit(Progress())
