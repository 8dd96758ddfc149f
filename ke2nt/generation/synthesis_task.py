"""Stage 1: training of generator and critics."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import torch
from torch import Tensor

from ke2nt.config.gan import FesganConfig, GanOptimConfig
from ke2nt.data.tensors import Batch
from ke2nt.generation.gan_draws import GanDraws, sample_gan_draws
from ke2nt.generation.gan_objective import GanObjective
from ke2nt.generation.guard import Guard, compute_diversity_ratio
from ke2nt.generation.networks.generator import FaceGenerator
from ke2nt.generation.networks.pixels import from_pixels
from ke2nt.generation.rollback import handle_fault
from ke2nt.generation.sample_grids import select_faces
from ke2nt.generation.saved_gan import save_gan
from ke2nt.generation.schedules import linear_ramp
from ke2nt.runtime.seeding import derive_seed, seed_step, torch_generator
from ke2nt.training.compute import Compute
from ke2nt.training.progress import Progress
from ke2nt.training.run_directory import RunDirectory
from ke2nt.training.state import TrainingState
from ke2nt.training.task import EpochReport, Position, StepResult, Task
from ke2nt.training.training_data import TrainingData

__all__ = ["DIVERSITY_IMAGES", "SynthesisInputs", "SynthesisTask"]

DIVERSITY_IMAGES = 64
"""Number of real faces that the diversity of synthetic ones is compared with."""


class SynthesisInputs(NamedTuple):
    """Inputs of a step, shared by critics and generator.

    Attributes:
        real: (B, C, S, S) faces in [−1, 1].
        labels: (B,) their expressions.
        draws: Random numbers of the step.
        expression_strength: Factor of the generator's expression term.
    """

    real: Tensor
    labels: Tensor
    draws: GanDraws
    expression_strength: float


@dataclass(kw_only=True)
class SynthesisTask(Task):
    """Train generator and critics in turns.

    Attributes:
        config: Configuration of the run; `gan` is its section.
        run: Where the generator is saved.
        data: Training images, and validation images for the grids.
        state: The generator, its average and the optimizer; `extra` holds critics and guard.
        compute: Device and precision.
        objective: The losses.
        guard: Detects collapse and divergence.
        provenance: Saved with the generator.
    """

    section: ClassVar[str] = "gan.optim"
    command: ClassVar[str] = "ke2nt gan pretrain"
    all_turns: ClassVar[tuple[str, ...]] = ("critics", "generator")

    config: FesganConfig
    run: RunDirectory
    data: TrainingData
    state: TrainingState[FaceGenerator]
    compute: Compute
    objective: GanObjective
    guard: Guard
    provenance: dict[str, Any]

    def __post_init__(self) -> None:
        self.targets = self.data.targets.to(self.compute.device)

    @property
    def optim(self) -> GanOptimConfig:
        """Optimizer and schedule."""
        return self.config.gan.optim

    @property
    def generator(self) -> FaceGenerator:
        """The generator that trains."""
        return self.state.model

    def learning_rate(self, position: Position) -> float:
        """Learning rate of the generator: constant, then a linear decay to 0."""
        return self.optim.lr * self._decay(position) * self.guard.lr_factor

    def set_learning_rates(self, position: Position) -> None:
        """Set the learning rates of generator and critics."""
        decay = self._decay(position)
        for group in self.state.optimizer.param_groups:
            group["lr"] = group["lr_scale"] * decay * self.guard.lr_factor

    def turns(self, position: Position) -> tuple[str, ...]:
        """The critics step each time, the generator every `critic_steps` steps."""
        return self.all_turns if position.done % self.optim.critic_steps == 0 else ("critics",)

    def prepare(self, batch: Batch, position: Position) -> SynthesisInputs:
        """Draw the random numbers of the step, and mirror some of the faces."""
        # after a rollback, the same steps are repeated with other random numbers
        place = (self.config.seed, "gan", int(self.guard.rollbacks), position.done)
        seed_step(derive_seed(*place), self.compute.device)
        draws = sample_gan_draws(
            len(batch.pixels),
            torch.ones(len(self.generator.classes)),
            self.generator.code_dim,
            torch_generator(*place),
            self.compute.device,
        )

        # mirrored faces have the same expression
        real = from_pixels(self.compute.to_device(batch.pixels), self.generator.channels)
        if self.config.gan.flip:
            real = torch.where(draws.flip.view(-1, 1, 1, 1), real.flip(-1), real)

        # the expression term starts late and rises for as long
        labels = self.targets[self.compute.to_device(batch.indices)]
        start = self.config.gan.loss.expression_start
        return SynthesisInputs(real, labels, draws, linear_ramp(position.share, start, start))

    def step(self, inputs: SynthesisInputs, turn: str) -> StepResult:
        """Compute the loss of the critics or of the generator."""
        real, labels, draws, strength = inputs
        if turn == "critics":
            return StepResult(*self.objective.critic_loss(real, labels, draws))
        return StepResult(
            *self.objective.generator_loss(real, labels, draws, expression_strength=strength)
        )

    def after_step(self, position: Position, turn: str) -> None:
        """Move the average after a step of the generator."""
        if turn == "generator":
            super().after_step(position, turn)

    def evaluate(self, progress: Progress) -> EpochReport:
        """Check the diversity of synthetic faces and the critic scores."""
        # the same real faces and identities in each epoch
        epoch = progress.epoch + 1
        diversity = compute_diversity_ratio(
            self.state.eval_model,
            self._select_faces(DIVERSITY_IMAGES),
            torch_generator(self.config.seed, "diversity"),
        )
        gap = progress.means().get("gap", 0.0)
        record = {
            "diversity": diversity,
            "fault": self.guard.check_epoch(epoch, diversity, gap),
        }

        # a report that keeps the epoch saves the generator
        last = epoch == self.optim.epochs
        return EpochReport(record, kept=last or epoch % self.config.gan.samples.every == 0)

    def save_model(self, epoch: int, score: float | None) -> None:
        """Save the averaged generator, the critics, and grids of synthetic faces."""
        save_gan(
            self.run.path,
            self.state.eval_model,
            self.objective.critics,
            self._select_faces(self.config.gan.samples.rows),
            seed=self.config.seed,
            provenance={**self.provenance, "epoch": epoch},
        )

    def after_epoch(self, progress: Progress, restore: Callable[[Path], Progress]) -> Progress:
        """Continue, stop or roll back, depending on the guard."""
        return handle_fault(self.guard, self.run, progress, restore)

    def _decay(self, position: Position) -> float:
        """Factor of the learning rates from the schedule."""
        # 1 until `decay_from`, then linear to 0
        remaining = position.total - position.done
        decay_steps = position.total * (1.0 - self.optim.decay_from)
        return min(1.0, remaining / max(1.0, decay_steps))

    def _select_faces(self, count: int) -> Tensor:
        """Return validation faces as images of the generator."""
        return select_faces(self.data.val, count, self.generator).to(self.compute.device)
