"""Training a recognizer: what a step computes, which epoch is kept."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, ClassVar, NamedTuple

import torch
from torch import Tensor

from ke2nt.config.schema import OptimConfig, TextConfig, TrainConfig
from ke2nt.data.mixing import Mixing, draw_mixing, mix
from ke2nt.data.tensors import Batch
from ke2nt.losses.deep_supervision import DeepSupervisionLoss
from ke2nt.losses.objective import KE2NTLoss
from ke2nt.models.base import ExpressionModel
from ke2nt.models.output import KE2NTOutput
from ke2nt.runtime.distributed import gather_rows, is_main, rank
from ke2nt.runtime.seeding import derive_seed, seed_step, torch_generator
from ke2nt.runtime.sharding import gather_state
from ke2nt.training.compute import Compute
from ke2nt.training.image_augmenter import ImageAugmenter, StepImages
from ke2nt.training.optimizer import learning_rate
from ke2nt.training.progress import Progress
from ke2nt.training.run_directory import RunDirectory
from ke2nt.training.selection import EpochSelection, evaluate_epoch
from ke2nt.training.state import TrainingState
from ke2nt.training.task import EpochReport, Position, StepResult, Task
from ke2nt.training.teacher import Teacher
from ke2nt.training.training_data import TrainingData

__all__ = ["RecognitionInputs", "RecognitionTask", "logit_scale_factor"]


class RecognitionInputs(NamedTuple):
    """What differs from step to step.

    Attributes:
        images: Images and their random changes.
        mixing: How images are mixed with each other, or None.
        logit_factor: Factor of the logits, a scalar, or None for 1.
    """

    images: StepImages
    mixing: Mixing | None
    logit_factor: Tensor | None


@dataclass(kw_only=True)
class RecognitionTask(Task):
    """Train a model on labeled faces, and keep its best epoch.

    Attributes:
        config: Configuration of the run.
        run: Where the kept model is saved.
        data: Training and selection images.
        state: The model, its optimizer and average.
        compute: Device and precision.
        loss: The objective.
        augmenter: Random changes of the training images.
        provenance: Saved with the kept model.
        teacher: A model to learn from, or None.
    """

    supports_cuda_graph: ClassVar[bool] = True

    config: TrainConfig
    run: RunDirectory
    data: TrainingData
    state: TrainingState[ExpressionModel]
    compute: Compute
    loss: KE2NTLoss | DeepSupervisionLoss
    augmenter: ImageAugmenter
    provenance: dict[str, Any] = field(default_factory=dict)
    teacher: Teacher | None = None

    def __post_init__(self) -> None:
        self.targets = self.data.targets.to(self.compute.device)

    @property
    def optim(self) -> OptimConfig:
        """Optimizer and schedule."""
        return self.config.optim

    @property
    def clip(self) -> float | None:
        """Largest gradient norm of the model."""
        return self.optim.clip

    @property
    def model(self) -> ExpressionModel:
        """The model that trains."""
        return self.state.model

    def learning_rate(self, position: Position) -> float:
        """Warm-up, then a half cosine."""
        return learning_rate(position.done, position.steps_per_epoch, self.optim)

    def prepare(self, batch: Batch, position: Position) -> RecognitionInputs:
        """Draw the changes of the images, how they are mixed, and the seed of dropout."""
        seed, epoch, step = self.config.seed, position.epoch, position.step
        # dropout differs between the processes
        seed_step(derive_seed(seed, "step", epoch, step, rank()), self.compute.device)

        # all processes mix in the same way, each within its share; the 0 is part of the seed, so
        # that runs of older versions resume with the same random numbers
        generator = torch_generator(seed, "mix", epoch, step, 0)
        count, side = len(batch.pixels), batch.pixels.shape[-1]
        mixing = draw_mixing(count, side, self.config.augment, generator)
        return RecognitionInputs(
            self.augmenter.draw(batch, position), mixing, self._logit_factor(position)
        )

    def step(self, inputs: RecognitionInputs, turn: str = "train") -> StepResult:
        """Compute the objective on the global batch."""
        images, labels = self.mixed_images(inputs)

        # outputs and labels of all processes: the loss is that of the global batch
        output = self.forward(images, inputs.logit_factor)
        loss, parts = self.loss(output, gather_rows(labels), self.model.bank)
        if self.teacher is not None:
            teacher_logits = gather_rows(self.teacher.logits(images))
            distillation = self.teacher.loss(output.logits, teacher_logits)
            loss = loss + self.teacher.weight * distillation
            parts = {**parts, "distillation": distillation.detach()}
        return StepResult.with_total(loss, parts)

    def mixed_images(self, inputs: RecognitionInputs) -> tuple[Tensor, Tensor]:
        """Return augmented, mixed and normalized images, and their labels.

        Returns:
            (B, 3, S, S), this process's share, and (B,) class indices or (B, K) class shares.
        """
        # (B, 3, S, S) and (B,) or (B, K)
        images = self.augmenter.model_input(inputs.images)
        labels = self.targets[self.compute.to_device(inputs.images.indices)]

        # within this process's share
        if inputs.mixing is not None:
            mixing = Mixing(*map(self.compute.to_device, inputs.mixing))
            images, labels = mix(images, labels, len(self.data.classes), mixing)
        return images, labels

    def forward(self, images: Tensor, logit_factor: Tensor | None = None) -> KE2NTOutput:
        """Return the model's output for the images of all processes.

        Args:
            images: (B, 3, S, S), normalized, this process's share.
            logit_factor: Factor of the logits.
        """
        with self.compute.autocast():
            output = self.model(images)

        # every head has its logits, the fused one too
        if logit_factor is not None:
            output = output.map_heads(lambda head: head.replace(logits=head.logits * logit_factor))
        return output.map(gather_rows)

    def evaluate(self, progress: Progress) -> EpochReport:
        """Evaluate on the selection split where due."""
        selection = EpochSelection(
            self.config.select, self.optim.epochs, self.run.path, self.section
        )
        if not selection.is_due(progress):
            return EpochReport()

        with selection.explain_divergence(progress):
            score, record = self.judge(self.state.eval_model)
        return selection.report(progress, score, record)

    def judge(self, model: ExpressionModel) -> tuple[float, dict[str, Any]]:
        """Return the score that the epoch is chosen by, higher is better, and log entries."""
        return evaluate_epoch(model, self.data.val, self.config.select, self.compute)

    def save_model(self, epoch: int, score: float | None) -> None:
        """Save the model in the run directory."""
        provenance = {**self.provenance, "epoch": epoch, "selected": score}
        model = self.state.eval_model
        # a sharded model is gathered by all processes
        state = gather_state(model)
        if is_main():
            model.save_pretrained(self.run.model, provenance=provenance, state=state)

    def pixels_seen(self, batch: Batch, position: Position) -> Tensor:
        """Augmented, not mixed."""
        return self.augmenter.change(self.augmenter.draw(batch, position))

    def _logit_factor(self, position: Position) -> Tensor | None:
        """Factor of the logits while their scale climbs to its value."""
        text, bank = self.config.text, self.model.bank
        if bank is None or text.logit_scale_start is None:
            return None
        scale = text.logit_scale or bank.logit_scale
        return torch.tensor(
            logit_scale_factor(position.done, position.steps_per_epoch, text, scale)
        )


def logit_scale_factor(step: int, steps_per_epoch: int, config: TextConfig, scale: float) -> float:
    """Return the factor of the logits of a step, so that their scale grows to its value.

    s(p) = s_0^(1 − p) · s^p for the share p of `logit_scale_epochs` that is done, over s.

    Args:
        step: Steps done so far, 0 for the first.
        steps_per_epoch: Steps in an epoch.
        config: s_0 and the epochs; without s_0 the factor is 1.
        scale: s, the scale of the untrained model.
    """
    if config.logit_scale_start is None:
        return 1.0
    remaining = 1.0 - min(1.0, step / (config.logit_scale_epochs * steps_per_epoch))
    return (config.logit_scale_start / scale) ** remaining
