"""The loops that adaptation and generation still build on; `engine.py` replaces them."""

from __future__ import annotations

import signal
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar, NamedTuple

import torch
from torch import nn

from ke2nt.config.schema import TrainConfig
from ke2nt.data.augmentation import BatchAugmentation, Draws
from ke2nt.data.mixing import Mixing, draw_mixing, mix
from ke2nt.data.tensors import Batch
from ke2nt.errors import CheckpointError, ModelError, TrainingError
from ke2nt.evaluation.evaluate_model import evaluate_model
from ke2nt.losses.deep_supervision import DeepSupervisionLoss
from ke2nt.losses.objective import KE2NTLoss
from ke2nt.models.base import ExpressionModel
from ke2nt.models.output import KE2NTOutput
from ke2nt.runtime.distributed import any_process, average, gather_rows, is_main, rank, world_size
from ke2nt.runtime.seeding import derive_seed, seed_step, torch_generator
from ke2nt.training.batches import epoch_order, global_batch_size
from ke2nt.training.checkpoint import load_checkpoint, save_checkpoint
from ke2nt.training.device import Compute
from ke2nt.training.display import Display
from ke2nt.training.ema import ModelEma
from ke2nt.training.extra_faces import mix_in_extra
from ke2nt.training.guards import PendingLosses, explain_out_of_memory, save_failed_batch
from ke2nt.training.interrupts import TrainingStopped
from ke2nt.training.optimizer import learning_rate, logit_scale_factor, set_learning_rate
from ke2nt.training.progress import Progress
from ke2nt.training.run_directory import RunDirectory
from ke2nt.training.speed.cuda_graph import StepGraph
from ke2nt.training.speed.sync_batch_norm import average_statistics
from ke2nt.training.state import TrainingState
from ke2nt.training.task import StepSettings
from ke2nt.training.training_data import TrainingData

__all__ = ["EpochLoop", "Trainer"]

_GPU_CHECK_EVERY = 50
_MOST_SKIPPED = 20
_STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM)


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
    accelerator: Compute
    display: Display
    extra: nn.Module | None = None

    @property
    def optim(self) -> StepSettings:
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

    @property
    def task(self) -> Any:
        """Stands in for a task: its state."""
        return SimpleNamespace(state=self._state)

    def __post_init__(self) -> None:
        self.device = self.accelerator.device
        self.targets = self.data.targets.to(self.device)
        if self.config.data.memory == "device":
            with explain_out_of_memory("data.memory=device", "Use data.memory=ram."):
                self.data.to(self.device)
        self._positions, self._pool = self.data.real, self.data.pool
        self._classes = torch.from_numpy(self.data.train.split.labels())
        images = len(self._positions) + self.data.extra_per_epoch
        self._batch = global_batch_size(self.optim.batch_size, images)
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
        shown = self.display.show(self.optim.epochs, self.steps_per_epoch)
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

    def start(self, checkpoint: Path | None) -> Progress:
        """As `Engine.start`."""
        return Progress() if checkpoint is None else self.restore(checkpoint)

    def restore(self, checkpoint: Path) -> Progress:
        """Put a checkpoint's state back; where it stands.

        Raises:
            CheckpointError: It is damaged, or of another run.
        """
        progress = load_checkpoint(checkpoint, self._state)
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
        order = mix_in_extra(order, self._pool, self._taken, generator)
        order = order[: self.steps_per_epoch * self._batch].view(-1, self._batch)[:, self.share]
        dtype = torch.float32 if self.device.type == "mps" else torch.float64
        sums = {k: self.to_device(torch.tensor(v, dtype=dtype)) for k, v in progress.sums.items()}
        unseen, stops = PendingLosses(), False
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

    def _look_back(self, unseen: PendingLosses, order: torch.Tensor, epoch: int) -> None:
        """Raise TrainingError where a loss of these steps was not finite, with the step's batch."""
        if found := unseen.first_not_finite():
            step, loss = found
            (batch,) = self._batches(order[step : step + 1])
            raise self._not_finite(batch, Progress(epoch, step), loss)

    def _save(self, progress: Progress) -> None:
        if not is_main():
            return
        save_checkpoint(
            self.run.checkpoints, self._state, progress, keep=self.config.keep_checkpoints
        )
        self.run.write_log(progress.records)

    @property
    def _state(self) -> TrainingState[Any]:
        return TrainingState(self.model, self.optimizer, self.ema, self.extra)

    def _memory_explained(self) -> AbstractContextManager[None]:
        sizes = {
            f"{self.section}.batch_size": self.optim.batch_size,
            "model.image_size": self.config.model.image_size,
        }
        resume = f"{self.command} --resume {self.run.path}"
        return explain_out_of_memory(
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
        return save_failed_batch(self.run, facts, pixels, labels, section=self.section)

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


class _StepInputs(NamedTuple):
    """What differs from step to step: images, and the random numbers to change them by."""

    pixels: torch.Tensor
    indices: torch.Tensor
    draws: Draws
    mixing: Mixing | None

    def tensors(self) -> list[torch.Tensor]:
        """All of them, in a row."""
        return [self.pixels, self.indices, *self.draws, *(self.mixing or ())]

    @classmethod
    def of(cls, values: Sequence[torch.Tensor]) -> _StepInputs:
        """Inverse of `tensors`."""
        rest = 2 + len(Draws._fields)
        mixing = Mixing(*values[rest:]) if len(values) > rest else None
        return cls(values[0], values[1], Draws(*values[2:rest]), mixing)


_ToGradients = Callable[[_StepInputs, Progress], tuple[torch.Tensor, dict[str, torch.Tensor]]]


@dataclass(kw_only=True)
class Trainer(EpochLoop):
    """Trains a model and keeps its best epoch.

    Attributes:
        model: The model that trains.
        ema: Its running average, or None; where there is one, it is evaluated and kept.
        loss: The objective.
        augment: Random changes of the training images.
        provenance: Stored with the kept model.
    """

    model: ExpressionModel
    ema: ModelEma[ExpressionModel] | None
    loss: KE2NTLoss | DeepSupervisionLoss
    augment: BatchAugmentation
    provenance: dict[str, Any]

    one_graph: ClassVar[bool] = True
    """Whether a step does the same operations each time, so that a CUDA graph can hold them."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self._forward = self.model
        self._scale_factor = torch.ones((), device=self.device)
        self._to_gradients = self._gradients if not self.config.cuda_graphs else self._graph()

    def _train_step(self, batch: Batch, progress: Progress) -> dict[str, torch.Tensor]:
        """One optimizer step; returns the detached total and its parts, or nothing if left out."""
        config, epoch, step = self.config, progress.epoch, progress.step
        done = epoch * self.steps_per_epoch + step
        set_learning_rate(self.optimizer, learning_rate(done, self.steps_per_epoch, config.optim))
        if world_size() > 1 and len(batch.pixels) != self._batch // world_size():
            raise TrainingError(
                "images that several processes share became unreadable during the run",
                found="; ".join(f"{n}: {why}" for n, why in self.data.train.failed.items()),
                hint=f"Put them back and type: {self.command} --resume {self.run.path}",
            )
        seed_step(derive_seed(config.seed, "step", epoch, step, rank()), self.device)
        self._set_scale(done)
        total, parts = self._to_gradients(self._step_inputs(batch, progress), progress)
        if not self._is_finite(total, progress, batch):
            return {}
        parameters = [p for group in self.optimizer.param_groups for p in group["params"]]
        average([p.grad for p in parameters if p.grad is not None])
        if config.optim.clip is not None:
            torch.nn.utils.clip_grad_norm_(self.model.parameters(), config.optim.clip)
        self.optimizer.step()
        if self.ema is not None:
            self.ema.update(self.model)
        return {"total": total, **parts}

    def _step_inputs(self, batch: Batch, progress: Progress) -> _StepInputs:
        """What differs from step to step; what is drawn is still on the CPU."""
        place = progress.epoch, progress.step
        pixels = self.to_device(batch.pixels)
        count, side = len(pixels), pixels.shape[-1]
        generator = torch_generator(self.config.seed, "mix", *place, 0)  # alike in all processes
        mixing = draw_mixing(count, side, self.config.augment, generator)
        draws = self._draws(count, side, progress)
        return _StepInputs(pixels, batch.indices, draws, mixing)

    def _gradients(
        self, inputs: _StepInputs, progress: Progress
    ) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        """Forward and backward pass: the total and its parts, detached."""
        _, images = self._changed(inputs.pixels, inputs.draws)
        labels = self.targets[self.to_device(inputs.indices)]
        if inputs.mixing is not None:
            mixing = Mixing(*map(self.to_device, inputs.mixing))
            images, labels = mix(images, labels, len(self.data.classes), mixing)
        total, parts = self.losses(images, labels, progress)
        self.optimizer.zero_grad(set_to_none=True)
        total.backward()
        return total.detach(), parts

    def _graph(self) -> _ToGradients:
        """`_gradients`, replayed as a CUDA graph."""
        if not self.one_graph or world_size() > 1:
            raise TrainingError(
                "the steps of this run cannot be recorded as a CUDA graph",
                expected="plain training, in one process",
                found=f"{self.command}, {world_size()} process(es)",
                hint="Use cuda_graphs=false.",
            )
        names: list[str] = []

        def work(*values: torch.Tensor) -> list[torch.Tensor]:
            total, parts = self._gradients(_StepInputs.of(values), Progress())
            names[:] = parts
            return [total, *parts.values()]

        graph = StepGraph(work, self.device)

        def replayed(
            inputs: _StepInputs, progress: Progress
        ) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
            total, *values = graph(*inputs.tensors())
            return total, dict(zip(names, values, strict=True))

        return replayed

    def augmented(
        self, batch: Batch, progress: Progress, stream: str = "augment"
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """This process's share of a batch, changed at random, before and after normalization.

        Args:
            batch: Images of any split in the model's size.
            progress: Where training stands; the same step draws the same numbers again.
            stream: Names the draws, so that two batches of a step do not share them.

        Returns:
            Pixels in 0..255 and the model's input, both float32 (B, 3, S, S).
        """
        pixels = self.to_device(batch.pixels)
        return self._changed(pixels, self._draws(len(pixels), pixels.shape[-1], progress, stream))

    def as_seen(self, batch: Batch, progress: Progress) -> torch.Tensor:
        """Augmented as the step at `progress` augments them."""
        pixels, _ = self.augmented(batch, progress)
        return pixels

    def _draws(self, count: int, side: int, progress: Progress, stream: str = "augment") -> Draws:
        generator = torch_generator(self.config.seed, stream, progress.epoch, progress.step)
        return self.augment.draw(count * world_size(), side, generator).rows(self.share)

    def _changed(self, pixels: torch.Tensor, draws: Draws) -> tuple[torch.Tensor, torch.Tensor]:
        pixels = self.augment.apply(pixels, Draws(*map(self.to_device, draws)))
        images = self.model.preprocessing.normalize(pixels)
        return pixels, images.contiguous(memory_format=torch.channels_last)

    def losses(
        self, images: torch.Tensor, labels: torch.Tensor, progress: Progress
    ) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        """The objective on this process's share of a batch, over the whole batch.

        Args:
            images: (B, 3, S, S), augmented and normalized.
            labels: (B,) int64 or (B, K) rows that sum to 1.
            progress: Where training stands; not read where `one_graph`.

        Returns:
            The scalar to minimize, and its parts, detached, for the log.
        """
        return self.loss(self.answer(images), gather_rows(labels), self.model.bank)

    def answer(self, images: torch.Tensor) -> KE2NTOutput:
        """The model's output for the images of all processes, logits scaled as scheduled.

        Args:
            images: (B, 3, S, S), normalized, this process's share.
        """
        with self.accelerator.autocast():
            output = self._forward(images)
        if self.config.text.logit_scale_start is not None:
            factor = self._scale_factor
            output = output.map_heads(lambda head: head.replace(logits=head.logits * factor))
        return output.map(gather_rows)

    def _set_scale(self, done: int) -> None:
        """The factor of the logits after so many steps; in place, for a graph reads it."""
        text, bank = self.config.text, self.model.bank
        if bank is not None and text.logit_scale_start is not None:
            scale = text.logit_scale or bank.logit_scale
            self._scale_factor.fill_(logit_scale_factor(done, self.steps_per_epoch, text, scale))

    def _facts(self, progress: Progress) -> dict[str, Any]:
        """What the log says of every epoch."""
        epoch = progress.epoch + 1
        record: dict[str, Any] = {
            "epoch": epoch,
            "lr": learning_rate(
                epoch * self.steps_per_epoch - 1, self.steps_per_epoch, self.config.optim
            ),
            "loss": progress.means(),
        }
        if progress.skipped:
            record["skipped"] = progress.skipped
        return record

    def _record(self, progress: Progress) -> dict[str, Any]:
        """Evaluate where due, keep the model if it is the one to keep, describe the epoch."""
        config, epoch = self.config, progress.epoch + 1
        record = self._facts(progress)
        last = epoch == config.optim.epochs
        if not (last or epoch % config.select.every == 0):
            return record
        chosen = self.model if self.ema is None else self.ema.model
        try:
            value, figures = self.judge(chosen)
        except ModelError as error:
            raise TrainingError(
                "training has diverged",
                where=f"{self.run.path}, epoch {epoch}",
                found=error.message,
                hint="Start anew with a lower optim.lr, or with optim.clip=1.",
            ) from error
        better = progress.best is None or value > progress.best
        kept = better if config.select.rule == "best" else last
        if kept:
            progress.best, progress.best_epoch = value, epoch
        if kept and is_main():
            chosen.save_pretrained(
                self.run.model, provenance={**self.provenance, "epoch": epoch, "selected": value}
            )
        return {**record, **figures, "kept": kept}

    def judge(self, model: ExpressionModel) -> tuple[float, dict[str, Any]]:
        """How good a model is.

        Returns:
            The value that the kept epoch is chosen by, higher is better, and keys for the log.
        """
        report = evaluate_model(
            model,
            self.data.val,
            batch_size=256,
            precision=self.accelerator.precision,
            flip_tta=self.config.select.flip_tta,
            bootstrap=0,
        ).report
        names = ("accuracy", "uar", "macro_f1", "nll")
        return float(getattr(report, self.config.select.metric)), {
            "val": {name: float(getattr(report, name)) for name in names},
            "val_split": self.data.val.split.split,
        }
