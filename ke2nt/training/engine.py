"""The training engine: epochs of steps, evaluation, checkpoints, interruption.

What a step computes is up to its task, see `training/task.py`.
"""

from __future__ import annotations

import time
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from torch import Tensor

from ke2nt.config.schema import TrainConfig
from ke2nt.data.tensors import Batch
from ke2nt.errors import CheckpointError, TrainingError
from ke2nt.runtime.distributed import any_process, is_main, world_size
from ke2nt.training.batch_norm import average_statistics
from ke2nt.training.checkpoint import load_checkpoint, save_checkpoint
from ke2nt.training.display import Display
from ke2nt.training.explain_errors import explain_out_of_memory, explain_single_image
from ke2nt.training.gradients import gradient_function
from ke2nt.training.interrupts import StopRequest, TrainingStopped
from ke2nt.training.loss_guard import LossGuard
from ke2nt.training.progress import LossSums, Progress
from ke2nt.training.run_directory import RunDirectory
from ke2nt.training.sampling import EpochBatches
from ke2nt.training.sharding import clip_gradients
from ke2nt.training.task import Position, Task
from ke2nt.training.training_data import TrainingData

__all__ = ["Engine"]

_CHECK_EVERY = 50  # steps between loss checks on a GPU


class Engine:
    """Trains what a task describes, and can stop after any step and continue from there.

    Args:
        task: What a step computes and which epoch is kept.
        config: Seed, sampling, checkpoints and speed options.
        run: Where checkpoints and log are written.
        data: Training images, and those that the task evaluates on.
        display: Progress for people.

    Raises:
        TrainingError: The processes cannot share a batch, the images do not fit into the device's
            memory, or the task does not support an option.
    """

    def __init__(
        self,
        task: Task,
        config: TrainConfig,
        run: RunDirectory,
        data: TrainingData,
        display: Display,
    ) -> None:
        self.task, self.config, self.run, self.data = task, config, run, data
        self.display = display
        self.device = task.compute.device
        if config.data.memory == "device":
            with explain_out_of_memory("data.memory=device", "Use data.memory=ram."):
                data.to(self.device)

        self.batches = EpochBatches(data, config, task.optim.batch_size, task.section)
        self.steps_per_epoch = self.batches.steps_per_epoch
        self._compute_gradients = gradient_function(task, config)
        self._guard = LossGuard(task, run, data, self.batches)
        self._stop = StopRequest()
        self._saved_at = time.monotonic()

    def restore(self, checkpoint: Path | None) -> Progress:
        """Load a checkpoint into the task's state, and return the progress to continue from.

        Args:
            checkpoint: None for the progress of a new run.

        Raises:
            CheckpointError: The checkpoint is damaged, or belongs to another run.
        """
        if checkpoint is None:
            return Progress()

        progress = load_checkpoint(checkpoint, self.task.state)
        epochs, steps = self.task.optim.epochs, self.steps_per_epoch
        if progress.epoch > epochs or progress.step > steps:
            raise CheckpointError(
                "the checkpoint is beyond the end of the run",
                where=checkpoint,
                expected=f"up to {epochs} epochs of {steps} steps",
                found=f"epoch {progress.epoch}, step {progress.step}",
            )
        return progress

    def fit(self, progress: Progress) -> Progress:
        """Train from `progress` to the last epoch.

        Raises:
            TrainingStopped: Ctrl-C or SIGTERM; the state is saved and `--resume` continues from it.
            TrainingError: A loss is NaN or infinite, or memory does not suffice.
        """
        self._saved_at = time.monotonic()
        shown = self.display.show(self.task.optim.epochs, self.steps_per_epoch)
        with self._stop.listen(), shown, self._explain_memory():
            while progress.epoch < self.task.optim.epochs:
                progress = self._run_epoch(progress)
        return progress

    def _run_epoch(self, progress: Progress) -> Progress:
        """Train, evaluate, log and save; return the progress to continue from."""
        started = time.perf_counter()
        self.train_epoch(progress)
        record = self._evaluate(progress)
        record["seconds"] = round(time.perf_counter() - started, 2)

        progress.records.append(record)
        progress.next_epoch()
        self.display.epoch(record)
        progress = self.task.after_epoch(progress, self.restore)

        # a kept model must never come from an epoch that no checkpoint holds
        stopping = any_process(self._stop.received, self.device)
        last = progress.epoch >= self.task.optim.epochs
        overdue = time.monotonic() - self._saved_at >= self.config.checkpoint_every
        if overdue or record.get("kept") or stopping or last:
            self._save(progress)
        elif is_main():
            self.run.write_log(progress.records)
        if stopping:
            raise TrainingStopped
        return progress

    def train_epoch(self, progress: Progress) -> None:
        """Train from `progress.step` to the end of the epoch."""
        self.task.state.train()
        order = self.batches.order(progress.epoch)
        sums, stopping = LossSums(progress, self.device), False

        # an interrupted epoch continues with the images that it has not used yet
        for batch in self.batches.read(order[progress.step :]):
            position = self._position(progress.epoch, progress.step)
            sums.add(self.train_step(batch, progress))
            progress.step += 1
            means = sums.means() if self.display.wants_losses else None
            self.display.step(position.done + 1, progress.epoch, means)

            # nothing is saved before the losses of all steps so far are known to be finite
            stopping = self._must_stop(progress.step)
            self._guard.watch(position, sums.values)
            last = progress.step == self.steps_per_epoch
            if stopping or last or progress.step % _CHECK_EVERY == 0:
                self._guard.check_watched(order)
            if stopping:
                break

        # every process evaluates and saves the same model
        sums.store()
        state = self.task.state
        if not self.config.optim.sync_batch_norm:
            average_statistics(state.model, *([] if state.ema is None else [state.ema.model]))
        if stopping:
            self._save(progress)
            raise TrainingStopped

    def train_step(self, batch: Batch, progress: Progress) -> dict[str, Tensor]:
        """Take one step; return its detached loss parts, or nothing if it was left out."""
        if not self._has_images(batch):
            progress.skipped += 1
            return {}
        task, position = self.task, self._position(progress.epoch, progress.step)
        buffers = task.state.buffers() if task.optim.not_finite == "skip" else []
        before = [buffer.clone() for buffer in buffers]

        parts: dict[str, Tensor] = {}
        with explain_single_image(task.section, self.batches.share):
            task.set_learning_rates(position)
            inputs, turns = task.prepare(batch, position), task.turns(position)
            for turn in turns:
                loss, turn_parts = self._compute_gradients(inputs, turn)
                if not self._guard.accepts(loss, batch, position, progress):
                    # a skipped step changes no running statistics
                    for buffer, value in zip(buffers, before, strict=True):
                        buffer.copy_(value)
                    return {}
                self._update(turn, position)
                parts |= turn_parts

        # with several turns, the last one may fail each time although the first ones succeed
        if task.all_turns[-1] in turns:
            progress.skipped_in_a_row = 0
        return parts

    def _update(self, turn: str, position: Position) -> None:
        """Clip the gradients and step the optimizer."""
        state = self.task.state
        if self.task.clip is not None:
            clip_gradients(state.model.parameters(), self.task.clip)
        state.optimizer.step()
        self.task.after_step(position, turn)

    def _evaluate(self, progress: Progress) -> dict[str, Any]:
        """Return the log record of the epoch, and save its model if it is kept."""
        epoch = progress.epoch + 1
        last_step = self._position(progress.epoch, self.steps_per_epoch - 1)
        record: dict[str, Any] = {
            "epoch": epoch,
            "lr": self.task.learning_rate(last_step),
            "loss": progress.means(),
        }
        if progress.skipped:
            record["skipped"] = progress.skipped

        report = self.task.evaluate(progress)
        if report.kept:
            progress.best, progress.best_epoch = report.score, epoch
            self.task.save_model(epoch, report.score)
        return record | report.record

    def _position(self, epoch: int, step: int) -> Position:
        return Position(epoch, step, self.steps_per_epoch, self.task.optim.epochs)

    def _has_images(self, batch: Batch) -> bool:
        """Whether enough images of a batch could be read for a step.

        Raises:
            TrainingError: Several processes share batches, and an image became unreadable.
        """
        if world_size() == 1:
            # one image alone has no batch statistics
            return len(batch.indices) > 1 or self.batches.batch_size == 1
        if len(batch.indices) != self.batches.share:
            raise TrainingError(
                "images became unreadable while several processes share them",
                found="; ".join(f"{n}: {why}" for n, why in self.data.train.failed.items()),
                hint=f"Restore them and type: {self.task.command} --resume {self.run.path}",
            )
        return True

    def _must_stop(self, step: int) -> bool:
        """Whether any process was asked to stop; all of them then stop after the same step."""
        if world_size() > 1 and self.device.type == "cuda" and step % _CHECK_EVERY:
            return False  # asking the others waits for the GPU
        return any_process(self._stop.received, self.device)

    def _save(self, progress: Progress) -> None:
        """Write a checkpoint and the log."""
        # every process, as each may hold a part of the model
        keep = self.config.keep_checkpoints
        save_checkpoint(self.run.checkpoints, self.task.state, progress, keep=keep)
        if is_main():
            self.run.write_log(progress.records)
        self._saved_at = time.monotonic()

    def _explain_memory(self) -> AbstractContextManager[None]:
        """Out-of-memory errors name the settings that decide how much is needed."""
        sizes = {
            f"{self.task.section}.batch_size": self.task.optim.batch_size,
            "model.image_size": self.config.model.image_size,
        }
        return explain_out_of_memory(
            ", ".join(f"{key}={value}" for key, value in sizes.items()),
            f"Lower {' first, then '.join(sizes)} in a new run; or free memory and continue with "
            f"{self.task.command} --resume {self.run.path} if this run has checkpoints.",
        )
