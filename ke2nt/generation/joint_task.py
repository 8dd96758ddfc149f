"""Stage 2: training of a recognizer together with the generator of a part of its faces."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar, NamedTuple

import torch
from torch import Tensor

from ke2nt.config.gan import FesganConfig
from ke2nt.data.tensors import Batch
from ke2nt.generation.gan_draws import GanDraws, sample_gan_draws
from ke2nt.generation.gan_objective import GanObjective
from ke2nt.generation.guard import Guard, compute_diversity_ratio
from ke2nt.generation.networks.generator import FaceGenerator
from ke2nt.generation.networks.pixels import from_pixels, resize
from ke2nt.generation.rollback import handle_fault
from ke2nt.generation.sample_grids import select_faces
from ke2nt.generation.saved_gan import save_gan
from ke2nt.generation.schedules import linear_ramp
from ke2nt.generation.synthesis_task import DIVERSITY_IMAGES
from ke2nt.generation.synthetic_losses import SyntheticLosses
from ke2nt.models.output import KE2NTOutput
from ke2nt.runtime.seeding import torch_generator
from ke2nt.training.ema import ModelEma
from ke2nt.training.progress import Progress
from ke2nt.training.recognition_task import RecognitionInputs, RecognitionTask
from ke2nt.training.task import EpochReport, Position, StepResult

__all__ = ["JointInputs", "JointTask", "SyntheticInputs"]


class SyntheticInputs(NamedTuple):
    """What a step needs for synthetic faces.

    Attributes:
        faces: (B, C, S, S) real faces of the batch as the generator's images, not augmented.
        labels: (B,) their expressions.
        draws: Random numbers, for all real and synthetic images.
        strength: Factor of all terms on synthetic faces.
        trains_generator: Whether the generator is trained in this step.
    """

    faces: Tensor
    labels: Tensor
    draws: GanDraws
    strength: float
    trains_generator: bool


class JointInputs(NamedTuple):
    """Inputs of a step.

    Attributes:
        recognition: Real faces for the recognizer.
        synthetic: None before synthetic faces are used.
    """

    recognition: RecognitionInputs
    synthetic: SyntheticInputs | None


@dataclass(kw_only=True)
class JointTask(RecognitionTask):
    """Train a recognizer and the generator that makes a part of its faces.

    Attributes:
        config: Configuration of the run; `joint` is its section.
        objective: Generator, critics and their losses.
        average: Running average of the generator, part of `state.extra`.
        guard: Detects collapse and divergence.
    """

    supports_cuda_graph: ClassVar[bool] = False
    command: ClassVar[str] = "ke2nt gan train"

    config: FesganConfig
    objective: GanObjective
    average: ModelEma[FaceGenerator]
    guard: Guard

    def __post_init__(self) -> None:
        super().__post_init__()
        classes = torch.from_numpy(self.data.train.split.labels())
        self.expressions = classes.to(self.compute.device)
        self.synthetic_losses = SyntheticLosses(
            self.config.joint, self.model, self.generator, self.loss, self.augmenter
        )

        # relative frequency of each requested expression
        counts = torch.bincount(
            classes[self.data.real_positions], minlength=len(self.data.classes)
        ).float()
        natural = self.config.joint.balance == "natural"
        self.class_weights = counts if natural else torch.ones_like(counts)

    @property
    def generator(self) -> FaceGenerator:
        """The generator that trains."""
        return self.objective.generator

    def set_learning_rates(self, position: Position) -> None:
        """Set the learning rates; those of generator and critics are halved by every rollback."""
        # the last two groups of the optimizer are generator and critics
        if not self.config.joint.frozen:
            scale = self.config.joint.lr / self.optim.lr * self.guard.lr_factor
            for group in self.state.optimizer.param_groups[-2:]:
                group["lr_scale"] = scale
        super().set_learning_rates(position)

    def prepare(self, batch: Batch, position: Position) -> JointInputs:  # type: ignore[override]
        """Prepare the real faces, and random numbers for synthetic ones once they are used."""
        recognition = super().prepare(batch, position)
        strength = self._strength(position)
        if not strength:
            return JointInputs(recognition, None)

        # after a rollback, the same steps are repeated with other random numbers
        rollbacks = int(self.guard.rollbacks)
        count = len(batch.pixels)
        draws = sample_gan_draws(
            max(count, round(self.config.joint.share * count)),
            self.class_weights,
            self.generator.code_dim,
            torch_generator(self.config.seed, "joint", rollbacks, position.epoch, position.step),
            self.compute.device,
        )

        # the GAN is trained on faces without the recognizer's augmentation
        pixels = resize(self.compute.to_device(batch.pixels).float(), self.generator.image_size)
        synthetic = SyntheticInputs(
            faces=from_pixels(pixels, self.generator.channels),
            labels=self.expressions[self.compute.to_device(batch.indices)],
            draws=draws,
            strength=strength,
            trains_generator=self._trains_generator(position),
        )
        return JointInputs(recognition, synthetic)

    def step(  # type: ignore[override]
        self, inputs: JointInputs, turn: str = "train"
    ) -> StepResult:
        """Compute the objective on real and synthetic faces, and the GAN losses."""
        images, labels = self.mixed_images(inputs.recognition)
        real = self.forward(images, inputs.recognition.logit_factor)
        loss, parts = self.loss(real, labels, self.model.bank)
        if inputs.synthetic is None:
            return StepResult.with_total(loss, parts)

        synthetic_loss, synthetic_parts = self._synthetic_loss(
            real, inputs.synthetic, inputs.recognition.logit_factor
        )
        return StepResult.with_total(loss + synthetic_loss, {**parts, **synthetic_parts})

    def after_step(self, position: Position, turn: str) -> None:
        """Move the averages of the recognizer and of the generator."""
        super().after_step(position, turn)
        if self._trains_generator(position):
            self.average.update(self.generator)

    def evaluate(self, progress: Progress) -> EpochReport:
        """Evaluate the recognizer, and check and save the generator."""
        report = super().evaluate(progress)
        if self.config.joint.frozen:
            return report

        # a frozen generator cannot collapse
        epoch = progress.epoch + 1
        diversity = compute_diversity_ratio(
            self.average.model,
            self._select_faces(DIVERSITY_IMAGES),
            torch_generator(self.config.seed, "diversity"),
        )
        gap = progress.means().get("gap", 0.0)
        fault = self.guard.check_epoch(epoch, diversity, gap)

        # the generator is saved on its own schedule, whichever recognizer is kept
        if epoch == self.optim.epochs or epoch % self.config.gan.samples.every == 0:
            self._save_gan(epoch)
        return replace(report, record={**report.record, "diversity": diversity, "fault": fault})

    def after_epoch(self, progress: Progress, restore: Callable[[Path], Progress]) -> Progress:
        """Continue, stop or roll back, depending on the guard."""
        return handle_fault(self.guard, self.run, progress, restore)

    def _synthetic_loss(
        self, real: KE2NTOutput, inputs: SyntheticInputs, scale: Tensor | None
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the weighted sum of the terms on synthetic faces and of the GAN losses."""
        faces, labels, draws = inputs.faces, inputs.labels, inputs.draws
        # terms of the recognizer, which rise with the strength
        terms = self.synthetic_losses.compute(
            real,
            faces,
            labels,
            draws,
            lambda images: self.forward(images, scale),
            trains_generator=inputs.trains_generator,
        )
        total = real.logits.new_zeros(())
        for weight, value in terms.values():
            total = total + inputs.strength * weight * value
        parts = {name: value.detach() for name, (_, value) in terms.items()}

        # generator and critics share the step: neither loss gives the other side a gradient
        weight = self.config.joint.gan_weight
        if weight and not self.config.joint.frozen:
            gan_draws = draws.first(len(faces))
            value, gan_parts = self.objective.critic_loss(faces, labels, gan_draws)
            total, parts = total + weight * value, parts | gan_parts
            if inputs.trains_generator:
                value, gan_parts = self.objective.generator_loss(faces, labels, gan_draws)
                total, parts = total + weight * value, parts | gan_parts
        return total, parts

    def _strength(self, position: Position) -> float:
        """Factor of the terms on synthetic faces, 0 before they are used."""
        joint = self.config.joint
        return linear_ramp(position.share, joint.start, joint.ramp)

    def _trains_generator(self, position: Position) -> bool:
        """Whether the generator is trained in a step."""
        joint = self.config.joint
        # counted within the epoch, so that a resumed run takes the same steps
        due = position.step % joint.every == 0
        return due and not joint.frozen and self._strength(position) > 0.0

    def _save_gan(self, epoch: int) -> None:
        save_gan(
            self.run.path,
            self.average.model,
            self.objective.critics,
            self._select_faces(self.config.gan.samples.rows),
            seed=self.config.seed,
            provenance={**self.provenance, "epoch": epoch},
        )

    def _select_faces(self, count: int) -> Tensor:
        """Return validation faces as images of the generator."""
        return select_faces(self.data.val, count, self.generator).to(self.compute.device)
