"""Stage 2: a recognizer that learns from synthetic faces, and teaches their generator."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from ke2nt.config.gan import FesganConfig
from ke2nt.data.tensors import Batch
from ke2nt.generation.gan_draws import GanDraws, sample_gan_draws
from ke2nt.generation.gan_objective import GanObjective
from ke2nt.generation.guard import Guard, compute_diversity_ratio
from ke2nt.generation.losses.intra_class import intra_class_loss
from ke2nt.generation.losses.neutral_consistency import neutral_consistency_loss
from ke2nt.generation.networks.generator import FaceGenerator
from ke2nt.generation.networks.pixels import from_pixels, resize, to_pixels
from ke2nt.generation.rollback import act_on_fault
from ke2nt.generation.sample_grids import select_faces
from ke2nt.generation.schedules import linear_ramp
from ke2nt.generation.synthesis import keep_synthesis
from ke2nt.models.norms import keep_statistics
from ke2nt.models.output import KE2NTOutput
from ke2nt.runtime.seeding import torch_generator
from ke2nt.training.ema import ModelEma
from ke2nt.training.legacy_loop import Trainer
from ke2nt.training.progress import Progress

__all__ = ["Fixed", "JointTrainer"]

_DIVERSITY_OF = 64


class Fixed(nn.Module):
    """Holds modules that stay in evaluation mode while others train."""

    def __init__(self, **modules: nn.Module) -> None:
        super().__init__()
        for name, module in modules.items():
            self.add_module(name, module.eval())

    def train(self, mode: bool = True) -> Fixed:
        """Stays in evaluation mode."""
        return super().train(False)


@dataclass(kw_only=True)
class JointTrainer(Trainer):
    """Trains a recognizer together with the generator that draws a part of its faces.

    Attributes:
        config: Its `joint` section is what is done.
        game: Generator, critics and their losses.
        average: The generator's running average, part of `extra`.
        guard: Detects collapse and divergence.
    """

    command: ClassVar[str] = "ke2nt gan train"
    one_graph: ClassVar[bool] = False

    config: FesganConfig
    game: GanObjective
    average: ModelEma[FaceGenerator]
    guard: Guard

    def __post_init__(self) -> None:
        super().__post_init__()
        counts = torch.bincount(
            self._classes[self._positions], minlength=len(self.data.classes)
        ).float()
        natural = self.config.joint.balance == "natural"
        self._weights = counts if natural else torch.ones_like(counts)
        self._faces: Batch | None = None
        self._labels = self._classes.to(self.device)

    def _train_step(self, batch: Batch, progress: Progress) -> dict[str, Tensor]:
        self._faces = batch  # the game wants the faces as they are, not augmented
        if not self.config.joint.frozen:
            scale = self.config.joint.lr / self.config.optim.lr * self.guard.lr_factor
            for group in self.optimizer.param_groups[-2:]:  # generator and critics
                group["lr_scale"] = scale
        parts = super()._train_step(batch, progress)
        if self._learns(progress):
            self.average.update(self.game.generator)
        return parts

    def losses(
        self, images: Tensor, labels: Tensor, progress: Progress
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """The objective on real and synthetic faces, and the generator's and critics' own."""
        real = self.answer(images)
        total, parts = self.loss(real, labels, self.model.bank)
        strength = self._strength(progress)
        if not strength:
            return total, parts
        more, found = self._with_synthetic(real, progress, strength)
        return total + more, {**parts, **found}

    def _with_synthetic(
        self, real: KE2NTOutput, progress: Progress, strength: float
    ) -> tuple[Tensor, dict[str, Tensor]]:
        assert self._faces is not None
        joint, learns = self.config.joint, self._learns(progress)
        place = ("joint", int(self.guard.rollbacks), progress.epoch, progress.step)
        generator = torch_generator(self.config.seed, *place)
        count = len(self._faces.pixels)
        wanted = max(count, round(joint.share * count))
        draws = sample_gan_draws(
            wanted, self._weights, self.game.generator.code_dim, generator, self.device
        )
        pixels = resize(self._faces.pixels.to(self.device).float(), self.game.generator.image_size)
        faces = from_pixels(pixels, self.game.generator.channels)
        labels = self._labels[self._faces.indices.to(self.device)]
        total, parts = real.logits.new_zeros(()), {}
        if joint.share:
            made, expressions = self._made(faces, draws, round(joint.share * count), learns)
            answer = self._answer(made, draws)
            terms = self._synthetic_terms(real, labels, answer, expressions)
            for name, (weight, term) in terms.items():
                total, parts[name] = total + strength * weight * term, term.detach()
        if joint.consistency:
            term = self._consistency(real, faces, labels, draws, learns)
            total = total + strength * joint.consistency * term
            parts["consistency"] = term.detach()
        if not joint.frozen and joint.gan_weight:
            own = draws.first(count)
            term, found = self.game.critic_loss(faces, labels, own)
            total, parts = total + joint.gan_weight * term, parts | found
            if learns:
                term, found = self.game.generator_loss(faces, labels, own)
                total = total + joint.gan_weight * term
                parts |= found
        return total, parts

    def _made(
        self, faces: Tensor, draws: GanDraws, count: int, learns: bool
    ) -> tuple[Tensor, Tensor]:
        """Synthetic faces (count, C, S, S) and the expressions that they were made for."""
        source = self.config.joint.source
        edits = {"edits": count, "new": 0, "both": count // 2}[source]
        rows = torch.arange(edits, device=self.device) % len(faces)
        with torch.set_grad_enabled(learns):
            codes = torch.cat([self.game.generator.encode(faces)[rows], draws.codes[edits:count]])
            expressions = torch.cat(
                [draws.edit_expressions[:edits], draws.new_expressions[edits:count]]
            )
            return self.game.generator.decode(codes, expressions), expressions

    def _answer(self, made: Tensor, draws: GanDraws) -> KE2NTOutput:
        """The recognizer's output for synthetic faces, augmented as real ones are.

        They do not shift what real ones are normalized by when the model is used.
        """
        preprocessing = self.model.preprocessing
        pixels = to_pixels(resize(made, preprocessing.image_size))
        pixels = self.augment(pixels, draws.generator)
        images = preprocessing.normalize(pixels).expand(-1, 3, -1, -1)
        with keep_statistics(self.model):
            return self.answer(images.contiguous(memory_format=torch.channels_last))

    def _synthetic_terms(
        self, real: KE2NTOutput, labels: Tensor, made: KE2NTOutput, expressions: Tensor
    ) -> dict[str, tuple[float, Tensor]]:
        joint = self.config.joint
        sure = made.logits.detach().softmax(dim=1).gather(1, expressions[:, None]).squeeze(1)
        kept = sure >= joint.min_confidence
        terms: dict[str, tuple[float, Tensor]] = {}
        if kept.any():
            chosen = made.map(lambda part: part[kept])
            loss, _ = self.loss(chosen, expressions[kept], self.model.bank)
            terms["synthetic"] = (joint.weight, loss)
        if joint.intra_class:
            loss = intra_class_loss(
                real.embeddings, labels, made.embeddings, expressions, rdbp=joint.rdbp
            )
            terms["intra_class"] = (joint.intra_class, loss)
        return terms

    def _consistency(
        self,
        real: KE2NTOutput,
        faces: Tensor,
        labels: Tensor,
        draws: GanDraws,
        learns: bool,
    ) -> Tensor:
        neutral = self.game.generator.classes.index("neutral")
        with torch.set_grad_enabled(learns):
            edits = self.game.generator(faces, torch.full_like(labels, neutral))
        made = self._answer(edits, draws)
        assert real.neutral_embeddings is not None
        return neutral_consistency_loss(made.embeddings, real.neutral_embeddings, labels != neutral)

    def _strength(self, progress: Progress) -> float:
        joint = self.config.joint
        done = progress.epoch * self.steps_per_epoch + progress.step
        return linear_ramp(
            done / (self.optim.epochs * self.steps_per_epoch), joint.start, joint.ramp
        )

    def _learns(self, progress: Progress) -> bool:
        """Whether the generator learns in the step under way."""
        joint = self.config.joint
        due = progress.step % joint.every == 0
        return due and not joint.frozen and self._strength(progress) > 0.0

    def _record(self, progress: Progress) -> dict[str, Any]:
        record = super()._record(progress)
        epoch, samples = record["epoch"], self.config.gan.samples
        if self.config.joint.frozen:
            return record
        ratio = compute_diversity_ratio(
            self.average.model,
            self._real(_DIVERSITY_OF),
            torch_generator(self.config.seed, "diversity"),
        )
        gap = record["loss"].get("gap", 0.0)
        record |= {"diversity": ratio, "fault": self.guard.check_epoch(epoch, ratio, gap)}
        if epoch == self.optim.epochs or epoch % samples.every == 0:
            keep_synthesis(
                self.run.path,
                self.average.model,
                self.game,
                self._real(samples.rows),
                self.config,
                {**self.provenance, "epoch": epoch},
            )
        return record

    def _after_epoch(self, progress: Progress) -> Progress:
        return act_on_fault(self, self.guard, progress)

    def _real(self, count: int) -> Tensor:
        """As of `select_faces`, for the generator."""
        return select_faces(self.data.val, count, self.game.generator).to(self.device)
