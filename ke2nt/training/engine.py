"""What every training loop shares: epochs of shuffled batches, progress, signals, checkpoints."""

from __future__ import annotations

import signal
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Protocol

import torch
from torch import nn

from ke2nt.config.schema import TrainConfig
from ke2nt.data.tensors import Batch
from ke2nt.errors import CheckpointError, TrainingError
from ke2nt.runtime.distributed import any_process, is_main, rank, world_size
from ke2nt.runtime.seeding import torch_generator
from ke2nt.training.checkpoint import Progress, load_checkpoint, save_checkpoint
from ke2nt.training.display import Display
from ke2nt.training.ema import ModelEma
from ke2nt.training.extra_faces import with_extra
from ke2nt.training.faults import LateLook, not_finite, out_of_memory_explained
from ke2nt.training.run_directory import RunDirectory
from ke2nt.training.speed.sync_batch_norm import average_statistics
from ke2nt.training.training_data import TrainingData

if TYPE_CHECKING:
    from accelerate import Accelerator

__all__ = ["EpochLoop", "Steps", "TrainingStopped", "epoch_order", "global_batch"]

_GPU_CHECK_EVERY = 50
_MOST_SKIPPED = 20
_STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Steps(Protocol):
    """The section of a configuration that says how long and in which batches a loop runs."""

    @property
    def epochs(self) -> int:
        """All epochs."""

    @property
    def batch_size(self) -> int:
        """Images of a step, over all processes."""

    @property
    def not_finite(self) -> Literal["stop", "skip"]:
        """What a loss that is not finite does."""


class TrainingStopped(KeyboardInterrupt):
    """Training was interrupted; its state has been saved."""


def global_batch(optim: Steps, images: int) -> int:
    """Images of a step, over all processes.

    Raises:
        TrainingError: The processes cannot share them equally.
    """
    size, processes = optim.batch_size, world_size()
    if size % processes or images < processes:
        raise TrainingError(
            "the processes cannot share a batch equally",
            expected=f"optim.batch_size a multiple of {processes}, and as many images",
            found=f"optim.batch_size={size}, {images} images",
        )
    return min(size, images - images % processes)


def epoch_order(
    positions: torch.Tensor, classes: torch.Tensor, sampling: str, generator: torch.Generator
) -> torch.Tensor:
    """Positions of an epoch's images in the order in which they are seen.

    Args:
        positions: (N,) positions in the split.
        classes: (M,) class index of every position of the split.
        sampling: "natural": each image once. "sqrt", "balanced": N draws with replacement, an image
            of a class of n with weight n^-1/2 or 1/n.
        generator: CPU generator.
    """
    if sampling == "natural":
        return positions[torch.randperm(len(positions), generator=generator)]
    own = classes[positions]
    counts = own.bincount().double().clamp(min=1.0)
    weights = counts.pow(-0.5 if sampling == "sqrt" else -1.0)[own]
    return positions[
        torch.multinomial(weights, len(positions), replacement=True, generator=generator)
    ]


@dataclass(kw_only=True)
class EpochLoop(ABC):
    """Runs epochs and keeps their state, so that a run can stop after any step and go on.

    Attributes:
        config: The run's configuration.
        run: Where everything is written.
        data: Training and selection images.
        model: The model that trains.
        ema: Its running average, or None.
        optimizer: Its optimizer.
        accelerator: Device and precision.
        display: Progress for people.
        extra: Trained beside the model and part of the checkpoints.
        section: Where the configuration says what `optim` gives, for messages.
        command: What starts and resumes such a run.
    """

    section: ClassVar[str] = "optim"
    command: ClassVar[str] = "ke2nt train"

    config: TrainConfig
    run: RunDirectory
    data: TrainingData
    model: nn.Module
    ema: ModelEma[Any] | None
    optimizer: torch.optim.Optimizer
    accelerator: Accelerator
    display: Display
    extra: nn.Module | None = None

    @property
    def optim(self) -> Steps:
        """How long and in which batches the loop runs."""
        return self.config.optim

    @abstractmethod
    def _train_step(self, batch: Batch, progress: Progress) -> dict[str, torch.Tensor]:
        """One step; returns the detached total and its parts, or nothing if left out."""

    def _is_whole(self, progress: Progress) -> bool:
        """Whether the step under way is one of all that learns."""
        return True

    def _after_epoch(self, progress: Progress) -> Progress:
        """Where to go on from after an epoch, before its checkpoint is written."""
        return progress

    @abstractmethod
    def _record(self, progress: Progress) -> dict[str, Any]:
        """The log's record of the epoch that has just ended."""

    def __post_init__(self) -> None:
        self.device = self.accelerator.device
        self.targets = self.data.targets.to(self.device)
        if self.config.data.memory == "device":
            with out_of_memory_explained("data.memory=device", "Use data.memory=ram."):
                self.data.to(self.device)
        self._positions, self._pool = self.data.real, self.data.pool
        self._classes = torch.from_numpy(self.data.train.split.labels())
        images = len(self._positions) + self.data.extra_per_epoch
        self._batch = global_batch(self.optim, images)
        self.steps_per_epoch = images // self._batch
        self._taken = self.data.extra_per_epoch
        self._stop = threading.Event()

    def fit(self, progress: Progress) -> Progress:
        """Train from where `progress` stands to the last epoch.

        Raises:
            TrainingStopped: Ctrl-C; the state is saved and `--resume` goes on from it.
            TrainingError: The loss is not finite any more.
        """
        saved = time.monotonic()
        shown = self.display.of(self.optim.epochs, self.steps_per_epoch)
        with self._interruptible(), shown, self._memory_explained():
            while progress.epoch < self.optim.epochs:
                started = time.perf_counter()
                self.train_epoch(progress)
                record = self._record(progress)
                record["seconds"] = round(time.perf_counter() - started, 2)
                progress.records.append(record)
                progress.next_epoch()
                self.display.epoch(record)
                progress = self._after_epoch(progress)
                stop = any_process(self._stop.is_set(), self.device)
                due = time.monotonic() - saved >= self.config.checkpoint_every
                due = due or bool(record.get("kept"))  # the kept model is of no unknown epoch
                if due or stop or progress.epoch >= self.optim.epochs:
                    self._save(progress)
                    saved = time.monotonic()
                elif is_main():
                    self.run.write_log(progress.records)
                if stop:
                    raise TrainingStopped
        return progress

    def restore(self, checkpoint: Path) -> Progress:
        """Put a checkpoint's state back; where it stands.

        Raises:
            CheckpointError: It is damaged, or of another run.
        """
        state = self.model, self.ema, self.optimizer, self.extra
        progress = load_checkpoint(checkpoint, *state)
        if progress.epoch > self.optim.epochs or progress.step > self.steps_per_epoch:
            raise CheckpointError(
                "the checkpoint is beyond the end of the run",
                where=checkpoint,
                expected=f"up to {self.optim.epochs} epochs of {self.steps_per_epoch} steps",
                found=f"epoch {progress.epoch}, step {progress.step}",
            )
        return progress

    def train_epoch(self, progress: Progress) -> None:
        """Steps from `progress.step` to the end of the epoch."""
        self.model.train()
        if self.extra is not None:
            self.extra.train()
        epoch = progress.epoch
        generator = torch_generator(self.config.seed, "order", epoch)
        order = epoch_order(self._positions, self._classes, self.config.data.sampling, generator)
        order = with_extra(order, self._pool, self._taken, generator)
        order = order[: self.steps_per_epoch * self._batch].view(-1, self._batch)[:, self.share]
        dtype = torch.float32 if self.device.type == "mps" else torch.float64
        sums = {k: self.to_device(torch.tensor(v, dtype=dtype)) for k, v in progress.sums.items()}
        unseen, stops = LateLook(), False
        for batch in self._batches(order[progress.step :]):
            parts = self._step_or_skip(batch, progress)
            for name, value in parts.items():
                sums[name] = sums[name] + value if name in sums else value.to(dtype)
                progress.counts[name] = progress.counts.get(name, 0) + 1
            progress.step += 1
            done = epoch * self.steps_per_epoch + progress.step
            means = (
                {k: float(v) / progress.counts[k] for k, v in sums.items()}
                if self.display.wants_losses
                else None
            )
            self.display.step(done, epoch, means)
            stops = self._stops(progress.step)
            if self._looks_late:
                unseen.add(progress.step - 1, sums.values())
                last = progress.step == self.steps_per_epoch
                if stops or last or progress.step % _GPU_CHECK_EVERY == 0:
                    self._look_back(unseen, order, epoch)
            if stops:
                break
        progress.sums = {k: float(v) for k, v in sums.items()}
        if not self.config.optim.sync_batch_norm:
            average_statistics(self.model, *([] if self.ema is None else [self.ema.model]))
        if stops:
            self._save(progress)
            raise TrainingStopped

    def _step_or_skip(self, batch: Batch, progress: Progress) -> dict[str, torch.Tensor]:
        """What `_train_step` gives; a step that is left out leaves no statistics behind."""
        if not self._is_enough(batch):
            progress.skipped += 1
            return {}
        skips = self.optim.not_finite == "skip"
        modules = [self.model] if self.extra is None else [self.model, self.extra]
        buffers = [b for module in modules for b in module.buffers()] if skips else []
        before = [buffer.clone() for buffer in buffers]
        try:
            parts = self._train_step(batch, progress)
        except ValueError as error:
            if "more than 1 value per channel" not in str(error):
                raise
            raise TrainingError(
                "one image alone has no statistics to be normalized by",
                expected=f"{self.section}.batch_size at least 2 in each process",
                found=self._batch // world_size(),
            ) from error
        if parts and self._is_whole(progress):
            progress.skipped_in_a_row = 0
        if not parts:
            for buffer, value in zip(buffers, before, strict=True):
                buffer.copy_(value)
        return parts

    def _batches(self, order: torch.Tensor) -> Iterator[Batch]:
        """This process's images of some steps, (steps, its share) positions in the split."""
        return self.data.train.batches(order.shape[1], order=order.flatten(), keep_empty=True)

    def _is_enough(self, batch: Batch) -> bool:
        """Whether a step can be taken: an image that is left alone in its batch has no statistics.

        Several processes take every step; they stop where a share is not whole.
        """
        return len(batch.indices) > 1 or self._batch == 1 or world_size() > 1

    def _look_back(self, unseen: LateLook, order: torch.Tensor, epoch: int) -> None:
        """Raise TrainingError where a loss of these steps was not finite, with the step's batch."""
        if found := unseen.first_bad():
            step, loss = found
            (batch,) = self._batches(order[step : step + 1])
            raise self._not_finite(batch, Progress(epoch, step), loss)

    def _save(self, progress: Progress) -> None:
        if not is_main():
            return
        save_checkpoint(
            self.run.checkpoints,
            self.model,
            self.ema,
            self.optimizer,
            progress,
            self.extra,
            keep=self.config.keep_checkpoints,
        )
        self.run.write_log(progress.records)

    def _memory_explained(self) -> AbstractContextManager[None]:
        sizes = {
            f"{self.section}.batch_size": self.optim.batch_size,
            "model.image_size": self.config.model.image_size,
        }
        resume = f"{self.command} --resume {self.run.path}"
        return out_of_memory_explained(
            ", ".join(f"{key}={value}" for key, value in sizes.items()),
            f"Lower {' first, then '.join(sizes)} in a new run; or free memory and go on with "
            f"{resume} where this one has checkpoints.",
        )

    @property
    def share(self) -> slice:
        """This process's rows of a global batch."""
        return slice(rank(), None, world_size())

    def _stops(self, step: int) -> bool:
        """Whether any process was asked to stop; all of them then stop after the same step."""
        if world_size() > 1 and self.device.type == "cuda" and step % _GPU_CHECK_EVERY:
            return False
        return any_process(self._stop.is_set(), self.device)

    @property
    def _looks_late(self) -> bool:
        """Whether losses are looked at now and then, as each look waits for the device."""
        return self.optim.not_finite == "stop" and self.device.type != "cpu"

    def _is_finite(self, total: torch.Tensor, progress: Progress, batch: Batch) -> bool:
        """False where the step is to be left out; True unseen where losses are looked at late.

        Raises:
            TrainingError: The loss is not finite, and that is to stop the run.
        """
        if self._looks_late:
            return True
        if torch.isfinite(total):
            return True
        progress.skipped += 1
        progress.skipped_in_a_row += 1
        if self.optim.not_finite == "skip" and progress.skipped_in_a_row < _MOST_SKIPPED:
            return False
        raise self._not_finite(batch, progress, float(total.detach()))

    def _not_finite(self, batch: Batch, progress: Progress, loss: float) -> TrainingError:
        """Keep the batch of the step at `progress`; the error to raise."""
        names = [self.data.train.split.samples[int(i)].name for i in batch.indices]
        facts = {
            "epoch": progress.epoch + 1,
            "step": progress.step + 1,
            "loss": str(loss),
            "classes": list(self.data.classes),
            "names": names,
        }
        labels = self.targets.cpu()[batch.indices.cpu()]
        pixels = self.as_seen(batch, progress)
        return not_finite(self.run, facts, pixels, labels, section=self.section)

    def as_seen(self, batch: Batch, progress: Progress) -> torch.Tensor:
        """Pixels of a batch in 0..255, (B, 3, S, S), to keep where the step at `progress` fails."""
        return batch.pixels

    def to_device(self, value: torch.Tensor) -> torch.Tensor:
        """Copy without waiting; a GPU reads page-locked memory while the host goes on."""
        if self.device.type == "cuda" and value.device.type == "cpu":
            value = value.pin_memory()
        return value.to(self.device, non_blocking=True)

    @contextmanager
    def _interruptible(self) -> Iterator[None]:
        """Ctrl-C or SIGTERM ends the step under way and saves; a second Ctrl-C ends at once."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return

        def stop(signum: int, frame: object) -> None:
            if self._stop.is_set() and signum == signal.SIGINT and world_size() == 1:
                raise KeyboardInterrupt
            self._stop.set()

        before = {number: signal.signal(number, stop) for number in _STOP_SIGNALS}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
