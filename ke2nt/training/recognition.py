"""Training a recognizer: what a step does, which epoch is kept."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import torch

from ke2nt.data.augmentation import BatchAugmentation, Draws
from ke2nt.data.mixing import Mixing, draw_mixing, mix
from ke2nt.data.tensors import Batch
from ke2nt.errors import ModelError, TrainingError
from ke2nt.evaluation.evaluate_model import evaluate_model
from ke2nt.losses.deep_supervision import DeepSupervisionLoss
from ke2nt.losses.objective import KE2NTLoss
from ke2nt.models.base import ExpressionModel
from ke2nt.models.output import KE2NTOutput
from ke2nt.runtime.distributed import average_gradients, gather_rows, is_main, rank, world_size
from ke2nt.runtime.seeding import derive_seed, seed_step, torch_generator
from ke2nt.training.checkpoint import Progress
from ke2nt.training.device import precision_of
from ke2nt.training.ema import ModelEma
from ke2nt.training.engine import EpochLoop
from ke2nt.training.optimizer import learning_rate, scale_factor, set_learning_rate
from ke2nt.training.speed.compile_model import compiled
from ke2nt.training.speed.cuda_graph import StepGraph

__all__ = ["Trainer"]


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
        self._forward = compiled(self.model, self.config)
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
        average_gradients(parameters)
        if config.optim.clip is not None:
            self.accelerator.clip_grad_norm_(self.model.parameters(), config.optim.clip)
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
        self.accelerator.backward(total)
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
            self._scale_factor.fill_(scale_factor(done, self.steps_per_epoch, text, scale))

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
            precision=precision_of(self.accelerator),
            flip_tta=self.config.select.flip_tta,
            bootstrap=0,
        ).report
        names = ("accuracy", "uar", "macro_f1", "nll")
        return float(getattr(report, self.config.select.metric)), {
            "val": {name: float(getattr(report, name)) for name in names},
            "val_split": self.data.val.split.split,
        }
