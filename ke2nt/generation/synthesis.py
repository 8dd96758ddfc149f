"""Stage 1: the loop that trains generator and critics."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor

from ke2nt.checkpoints.tensor_files import write_safetensors
from ke2nt.config.gan import FesganConfig, GanOptimConfig
from ke2nt.data.tensors import Batch
from ke2nt.generation.gan_draws import sample_gan_draws
from ke2nt.generation.gan_objective import GanObjective
from ke2nt.generation.guard import Guard, compute_diversity_ratio
from ke2nt.generation.networks.generator import FaceGenerator
from ke2nt.generation.networks.pixels import from_pixels
from ke2nt.generation.rollback import act_on_fault
from ke2nt.generation.sample_grids import select_faces, write_sample_grids
from ke2nt.generation.schedules import linear_ramp
from ke2nt.runtime.seeding import derive_seed, seed_step, torch_generator
from ke2nt.training.ema import ModelEma
from ke2nt.training.legacy_loop import EpochLoop
from ke2nt.training.progress import Progress

__all__ = ["CRITICS", "SynthesisLoop", "adam_groups", "keep_synthesis"]

CRITICS = "critics.safetensors"

_DIVERSITY_OF = 64


def adam_groups(
    game: GanObjective, lr: float, critic_lr: float, betas: tuple[float, float]
) -> list[Any]:
    """Parameter groups of generator and critics for one Adam; `lr_scale` is their own rate.

    Parameters without a gradient are left alone by a step, so that one optimizer serves both sides.
    """
    return [
        {
            "params": list(module.parameters()),
            "lr": rate,
            "lr_scale": rate,
            "betas": betas,
            "weight_decay": 0.0,
        }
        for module, rate in ((game.generator, lr), (game.critics, critic_lr))
    ]


@dataclass(kw_only=True)
class SynthesisLoop(EpochLoop):
    """Trains generator and critics in turns.

    Attributes:
        config: Its `gan` section is what is done.
        model: The generator.
        ema: Its average: what is judged, saved and sampled from.
        game: The losses.
        guard: Detects collapse and divergence.
        provenance: Saved with the generator.
    """

    section: ClassVar[str] = "gan.optim"
    command: ClassVar[str] = "ke2nt gan pretrain"

    config: FesganConfig
    model: FaceGenerator
    ema: ModelEma[FaceGenerator]
    game: GanObjective
    guard: Guard
    provenance: dict[str, Any]

    @property
    def optim(self) -> GanOptimConfig:
        """How long and in which batches the loop runs."""
        return self.config.gan.optim

    def _train_step(self, batch: Batch, progress: Progress) -> dict[str, Tensor]:
        """A step of the critics and, where due, one of the generator."""
        gan = self.config.gan
        done = progress.epoch * self.steps_per_epoch + progress.step
        place = (self.config.seed, "gan", int(self.guard.rollbacks), done)
        seed_step(derive_seed(*place), self.device)
        weights = torch.ones(len(self.model.classes))
        draws = sample_gan_draws(
            len(batch.pixels), weights, self.model.code_dim, torch_generator(*place), self.device
        )
        real = from_pixels(self.to_device(batch.pixels), self.model.channels)
        if gan.flip:
            real = torch.where(draws.flip.view(-1, 1, 1, 1), real.flip(-1), real)
        labels = self.targets[self.to_device(batch.indices)]
        self._set_rates(done)
        share, start = done / (gan.optim.epochs * self.steps_per_epoch), gan.loss.expression_start
        strength = linear_ramp(share, start, start)
        total, parts = self.game.critic_loss(real, labels, draws)
        if not self._is_finite(total, progress, batch):
            return {}
        self._step(total)
        if not self._is_whole(progress):
            return parts
        total, more = self.game.generator_loss(real, labels, draws, expression_strength=strength)
        if not self._is_finite(total, progress, batch):
            return {}
        self._step(total)
        self.ema.update(self.model)
        return parts | more

    def _is_whole(self, progress: Progress) -> bool:
        """Whether the generator steps, too."""
        done = progress.epoch * self.steps_per_epoch + progress.step
        return done % self.optim.critic_steps == 0

    def _step(self, total: Tensor) -> None:
        self.optimizer.zero_grad(set_to_none=True)
        total.backward()
        self.optimizer.step()

    def _set_rates(self, done: int) -> None:
        optim = self.config.gan.optim
        whole = optim.epochs * self.steps_per_epoch
        left = (whole - done) / max(1.0, whole * (1.0 - optim.decay_from))
        for group in self.optimizer.param_groups:
            group["lr"] = group["lr_scale"] * min(1.0, left) * self.guard.lr_factor

    def _record(self, progress: Progress) -> dict[str, Any]:
        gan, epoch = self.config.gan, progress.epoch + 1
        losses = progress.means()
        ratio = compute_diversity_ratio(
            self.ema.model,
            self._real(_DIVERSITY_OF),
            torch_generator(self.config.seed, "diversity"),
        )
        record = {
            "epoch": epoch,
            "lr": self.optimizer.param_groups[0]["lr"],
            "loss": losses,
            "diversity": ratio,
            "fault": self.guard.check_epoch(epoch, ratio, losses.get("gap", 0.0)),
        }
        if progress.skipped:
            record["skipped"] = progress.skipped
        if epoch == gan.optim.epochs or epoch % gan.samples.every == 0:
            self.keep(epoch)
        return record

    def keep(self, epoch: int) -> None:
        """Save the averaged generator, the critics, and pictures of what it makes."""
        provenance = {**self.provenance, "epoch": epoch}
        faces = self._real(self.config.gan.samples.rows)
        keep_synthesis(self.run.path, self.ema.model, self.game, faces, self.config, provenance)

    def _after_epoch(self, progress: Progress) -> Progress:
        return act_on_fault(self, self.guard, progress)

    def _real(self, count: int) -> Tensor:
        return select_faces(self.data.val, count, self.model).to(self.device)


def keep_synthesis(
    folder: Path,
    generator: FaceGenerator,
    game: GanObjective,
    faces: Tensor,
    config: FesganConfig,
    provenance: dict[str, Any],
) -> None:
    """Save a generator and its critics in a run's folder, and pictures of what it makes.

    Args:
        folder: The run's.
        generator: The averaged one.
        game: Holds the critics.
        faces: Real ones that are edited in the pictures.
        config: The run's configuration.
        provenance: Stored with the generator; its "epoch" names the pictures.
    """
    generator.provenance = provenance
    generator.save(folder / "generator")
    write_safetensors(folder / CRITICS, game.critics.state_dict(), {}, dtype=torch.float32)
    write_sample_grids(
        folder / "samples" / f"epoch-{provenance['epoch']:05d}",
        generator,
        faces,
        torch_generator(config.seed, "pictures"),
    )
