"""The training loop."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from ke2nt.config.schema import TrainConfig
from ke2nt.data.augmentation import BatchAugmentation
from ke2nt.data.mixing import mix
from ke2nt.data.tensors import Batch
from ke2nt.errors import TrainingError
from ke2nt.evaluation.evaluate import evaluate_model
from ke2nt.losses.deep_supervision import DeepSupervisionLoss
from ke2nt.losses.objective import KE2NTLoss
from ke2nt.models.output import KE2NTOutput, map_output
from ke2nt.models.recogniser import Recogniser
from ke2nt.runtime.distributed import (
    any_process,
    average_gradients,
    gather_rows,
    is_main,
    rank,
    world_size,
)
from ke2nt.runtime.seeding import derive_seed, torch_generator
from ke2nt.train.checkpoint import Progress, load_checkpoint, save_checkpoint
from ke2nt.train.data import TrainingData
from ke2nt.train.display import Display
from ke2nt.train.ema import ModelEma
from ke2nt.train.faults import not_finite, out_of_memory_explained
from ke2nt.train.optim import learning_rate, scale_factor, set_learning_rate
from ke2nt.train.run import RunDirectory

if TYPE_CHECKING:
    from accelerate import Accelerator

__all__ = ["Trainer", "TrainingStopped", "epoch_order", "global_batch"]

_GPU_CHECK_EVERY = 50
_MOST_SKIPPED = 20
_STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class TrainingStopped(KeyboardInterrupt):
    """Training was interrupted; its state has been saved."""


def global_batch(config: TrainConfig, images: int) -> int:
    """Images of a step, over all processes.

    Raises:
        TrainingError: The processes cannot share them equally.
    """
    size, processes = config.optim.batch_size, world_size()
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


@dataclass
class Trainer:
    """Trains a model and keeps its best epoch.

    Attributes:
        config: The run's configuration.
        run: Where everything is written.
        data: Training and selection images.
        model: The model that trains.
        ema: Its running average, or None; where there is one, it is evaluated and kept.
        optimizer: Its optimiser.
        loss: The objective.
        accelerator: Device and precision.
        augment: Random changes of the training images.
        display: Progress for people.
        provenance: Stored with the kept model.
        extra: Trained beside the model and part of the checkpoints, but not of the kept model.
    """

    config: TrainConfig
    run: RunDirectory
    data: TrainingData
    model: Recogniser
    ema: ModelEma[Recogniser] | None
    optimizer: torch.optim.Optimizer
    loss: KE2NTLoss | DeepSupervisionLoss
    accelerator: Accelerator
    augment: BatchAugmentation
    display: Display
    provenance: dict[str, Any]
    extra: nn.Module | None = None

    def __post_init__(self) -> None:
        self.device = self.accelerator.device
        self.targets = self.data.targets.to(self.device)
        self._positions = self.data.train.usable.clone()
        self._classes = torch.from_numpy(self.data.train.split.labels())
        self._batch = global_batch(self.config, len(self._positions))
        self.steps_per_epoch = len(self._positions) // self._batch
        self._stop = threading.Event()

    def fit(self, progress: Progress) -> Progress:
        """Train from where `progress` stands to the last epoch.

        Raises:
            TrainingStopped: Ctrl-C; the state is saved and `--resume` goes on from it.
            TrainingError: The loss is not finite any more.
        """
        with self._interruptible(), self.display, out_of_memory_explained(self.config):
            while progress.epoch < self.config.optim.epochs:
                started = time.perf_counter()
                self.train_epoch(progress)
                record = self._record(progress)
                record["seconds"] = round(time.perf_counter() - started, 2)
                progress.records.append(record)
                progress.next_epoch()
                self.display.epoch(record)
                self._save(progress)
        return progress

    def restore(self, checkpoint: Path) -> Progress:
        """Put a checkpoint's state back; where it stands."""
        return load_checkpoint(checkpoint, self.model, self.ema, self.optimizer, self.extra)

    def train_epoch(self, progress: Progress) -> None:
        """Steps from `progress.step` to the end of the epoch."""
        self.model.train()
        if self.extra is not None:
            self.extra.train()
        epoch = progress.epoch
        generator = torch_generator(self.config.seed, "order", epoch)
        order = epoch_order(self._positions, self._classes, self.config.data.sampling, generator)
        order = order[: self.steps_per_epoch * self._batch][progress.step * self._batch :]
        order = order.view(-1, self._batch)[:, self._share].flatten()
        sums = {k: self._scalar(v) for k, v in progress.sums.items()}
        for batch in self.data.train.batches(self._batch // world_size(), order=order):
            parts = self._train_step(batch, progress)
            for name, value in parts.items():
                sums[name] = sums.get(name, self._scalar(0.0)) + value
            progress.step += 1
            done = epoch * self.steps_per_epoch + progress.step
            means = (
                {k: float(v) / progress.step for k, v in sums.items()}
                if self.display.wants_losses
                else None
            )
            self.display.step(done, epoch, means)
            if self._stops(progress.step):
                progress.sums = {k: float(v) for k, v in sums.items()}
                self._save(progress)
                raise TrainingStopped
        progress.sums = {k: float(v) for k, v in sums.items()}

    def _train_step(self, batch: Batch, progress: Progress) -> dict[str, torch.Tensor]:
        """One optimiser step; returns the detached total and its parts, or nothing if left out."""
        config, epoch, step = self.config, progress.epoch, progress.step
        done = epoch * self.steps_per_epoch + step
        set_learning_rate(self.optimizer, learning_rate(done, self.steps_per_epoch, config.optim))
        if world_size() > 1 and len(batch.pixels) != self._batch // world_size():
            raise TrainingError(
                "images that several processes share became unreadable during the run",
                found="; ".join(f"{n}: {why}" for n, why in self.data.train.failed.items()),
                hint=f"Type: ke2nt train --resume {self.run.path}",
            )
        torch.manual_seed(derive_seed(config.seed, "step", epoch, step, rank()))
        generator = torch_generator(config.seed, "augment", epoch, step)
        pixels = batch.pixels.to(self.device, non_blocking=True)
        draws = self.augment.draw(len(pixels) * world_size(), pixels.shape[-1], generator)
        pixels = self.augment.apply(pixels, draws.rows(self._share))
        images = self.model.preprocessing.to_input(pixels)
        images = images.contiguous(memory_format=torch.channels_last)
        labels = self.targets[batch.indices.to(self.device, non_blocking=True)]
        mixing = torch_generator(config.seed, "mix", epoch, step, rank())
        images, labels = mix(images, labels, len(self.data.classes), config.augment, mixing)
        total, parts = self.losses(images, labels, progress)
        if not self._is_finite(total, progress, pixels, batch):
            return {}
        self.optimizer.zero_grad(set_to_none=True)
        self.accelerator.backward(total)
        parameters = [p for group in self.optimizer.param_groups for p in group["params"]]
        average_gradients(parameters)
        if config.optim.clip is not None:
            self.accelerator.clip_grad_norm_(parameters, config.optim.clip)
        self.optimizer.step()
        if self.ema is not None:
            self.ema.update(self.model)
        return {"total": total.detach(), **parts}

    def losses(
        self, images: torch.Tensor, labels: torch.Tensor, progress: Progress
    ) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        """The objective on this process's share of a batch, over the whole batch.

        Args:
            images: (B, 3, S, S), augmented and normalised.
            labels: (B,) int64 or (B, K) rows that sum to 1.
            progress: Where training stands.

        Returns:
            The scalar to minimise, and its parts, detached, for the log.
        """
        with self.accelerator.autocast():
            output = self.model(images)
        factor = 1.0
        if (bank := self.model.bank) is not None:
            done = progress.epoch * self.steps_per_epoch + progress.step
            text = self.config.text
            scale = text.logit_scale or bank.logit_scale
            factor = scale_factor(done, self.steps_per_epoch, text, scale)

        def of_all(own: KE2NTOutput) -> KE2NTOutput:
            """The output over the images of all processes."""
            logits, embeddings, neutral = own
            return KE2NTOutput(
                gather_rows(logits * factor),
                gather_rows(embeddings),
                None if neutral is None else gather_rows(neutral),
            )

        return self.loss(map_output(output, of_all), gather_rows(labels), bank)

    def _facts(self, progress: Progress) -> dict[str, Any]:
        """What the log says of every epoch."""
        epoch = progress.epoch + 1
        steps = max(1, progress.step - progress.skipped)
        record: dict[str, Any] = {
            "epoch": epoch,
            "lr": learning_rate(
                epoch * self.steps_per_epoch - 1, self.steps_per_epoch, self.config.optim
            ),
            "loss": {name: value / steps for name, value in progress.sums.items()},
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
        report = evaluate_model(
            chosen,
            self.data.val,
            batch_size=256,
            precision="bf16" if self.accelerator.mixed_precision == "bf16" else "fp32",
            bootstrap=0,
        ).report
        value = float(getattr(report, config.select.metric))
        better = progress.best is None or value > progress.best
        kept = better if config.select.rule == "best" else last
        if kept:
            progress.best, progress.best_epoch = value, epoch
        if kept and is_main():
            chosen.save_pretrained(
                self.run.model, provenance={**self.provenance, "epoch": epoch, "selected": value}
            )
        record["val"] = {
            name: float(getattr(report, name)) for name in ("accuracy", "uar", "macro_f1", "nll")
        }
        record["val_split"], record["kept"] = self.data.val.split.split, kept
        return record

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

    @property
    def _share(self) -> slice:
        """This process's rows of a global batch."""
        return slice(rank(), None, world_size())

    def _stops(self, step: int) -> bool:
        """Whether any process was asked to stop; all of them then stop after the same step."""
        if world_size() > 1 and self.device.type == "cuda" and step % _GPU_CHECK_EVERY:
            return False
        return any_process(self._stop.is_set(), self.device)

    def _is_finite(
        self, total: torch.Tensor, progress: Progress, pixels: torch.Tensor, batch: Batch
    ) -> bool:
        """False where the step is to be left out.

        Raises:
            TrainingError: The loss is not finite, and that is to stop the run.
        """
        skip = self.config.optim.not_finite == "skip"
        if not skip and self.device.type != "cpu" and progress.step % _GPU_CHECK_EVERY:
            return True
        if torch.isfinite(total):
            progress.skipped_in_a_row = 0
            return True
        progress.skipped += 1
        progress.skipped_in_a_row += 1
        if skip and progress.skipped_in_a_row < _MOST_SKIPPED:
            return False
        names = [self.data.train.split.samples[int(i)].name for i in batch.indices]
        facts = {
            "epoch": progress.epoch + 1,
            "step": progress.step + 1,
            "loss": str(float(total.detach())),
            "names": names,
        }
        raise not_finite(self.run, facts, pixels, self.targets.cpu()[batch.indices.cpu()])

    def _scalar(self, value: float) -> torch.Tensor:
        dtype = torch.float32 if self.device.type == "mps" else torch.float64
        return torch.tensor(value, dtype=dtype, device=self.device)

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
