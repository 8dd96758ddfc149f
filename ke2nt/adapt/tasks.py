"""The loop with a second stream of images, and the loop on target images alone."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, ClassVar

import torch
from torch import Tensor

from ke2nt.adapt.domain_batch import DomainBatch, PseudoLabels
from ke2nt.adapt.label_free_metrics import compute_label_free_metrics
from ke2nt.adapt.objective import AdaptationLoss
from ke2nt.adapt.ramp import compute_ramp
from ke2nt.adapt.target_stream import TargetStream
from ke2nt.banks.text_bank import TextBank
from ke2nt.config.adapt import AdaptConfig
from ke2nt.evaluation.predictions import compute_predictions
from ke2nt.models.base import ExpressionModel
from ke2nt.models.ke2nt import KE2NT
from ke2nt.models.norms import keep_statistics
from ke2nt.models.output import KE2NTOutput
from ke2nt.runtime.distributed import gather_rows
from ke2nt.runtime.l2_normalize import l2_normalize
from ke2nt.training.device import precision_of
from ke2nt.training.legacy_loop import Trainer
from ke2nt.training.progress import Progress

__all__ = ["AdaptTrainer", "EntropyTrainer"]


@dataclass
class _TargetTrainer(Trainer):
    """A trainer that looks at the answers for unlabeled images.

    Attributes:
        adapt: The run's configuration.
        stream: The target.
    """

    adapt: AdaptConfig = field(kw_only=True)
    stream: TargetStream = field(kw_only=True)

    def judge(self, model: ExpressionModel) -> tuple[float, dict[str, Any]]:
        """Mutual information on the target, and what the log says of it."""
        found = compute_predictions(
            model,
            self.stream.images,
            batch_size=256,
            precision=precision_of(self.accelerator),
            flip_tta=self.config.select.flip_tta,
        )
        figures = compute_label_free_metrics(found.probabilities)
        names = ("confidence", "information", "largest_share")
        return figures.information, {"target": {n: float(getattr(figures, n)) for n in names}}


@dataclass
class AdaptTrainer(_TargetTrainer):
    """Labeled source and unlabeled target in every step.

    Attributes:
        parts: The objective of the adaptation; also `extra`, so that checkpoints hold it.
        source_bank: Text bank that the source's logits are taken with, None for the model's.
    """

    one_graph: ClassVar[bool] = False

    parts: AdaptationLoss = field(kw_only=True)
    source_bank: TextBank | None = field(default=None, kw_only=True)

    def judge(self, model: ExpressionModel) -> tuple[float, dict[str, Any]]:
        """The value of the criterion that chooses; figures of both domains."""
        information, record = super().judge(model)
        source, more = Trainer.judge(self, model)
        return source if self.adapt.adapt.choose == "source" else information, {**record, **more}

    def losses(
        self, images: Tensor, labels: Tensor, progress: Progress
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """The source's objective, and the parts of the adaptation."""
        if not self.parts.weights:
            return super().losses(images, labels, progress)
        step = progress.epoch * self.steps_per_epoch + progress.step
        batch = self.stream.batch(step, self.share)
        _, others = self.augmented(batch, progress, "augment target")
        source, target = self._outputs(images, others.to(images.dtype))
        labels = gather_rows(labels)
        bank = self.model.bank if self.source_bank is None else self.source_bank
        total, parts = self.loss(source, labels, bank)
        hard = labels if labels.ndim == 1 else labels.argmax(dim=1)
        pseudo = self._pseudo_labels(target, batch.pixels)
        both = DomainBatch(source, hard, target, pseudo, self.model.bank)
        share = step / max(1, self.steps_per_epoch * self.config.optim.epochs - 1)
        more, found = self.parts(both, compute_ramp(share, self.adapt.adapt.ramp))
        return total + more, {**parts, **found}

    def _outputs(self, source: Tensor, target: Tensor) -> tuple[KE2NTOutput, KE2NTOutput]:
        """Outputs for both domains, of all processes."""
        with self.accelerator.autocast():
            if self.adapt.adapt.batch_norm == "joint":
                both = self._forward(torch.cat([source, target]))
                first = both.map(lambda x: gather_rows(x[: len(source)]))
                second = both.map(lambda x: gather_rows(x[len(source) :]))
            else:
                with keep_statistics(self.model):
                    first = self._forward(source).map(gather_rows)
                second = self._forward(target).map(gather_rows)
        if self.source_bank is None:
            return first, second
        assert isinstance(self.model, KE2NT)
        text, scale = self.source_bank.embeddings.to(first.embeddings), self.model.logit_scale

        def matched(own: KE2NTOutput) -> KE2NTOutput:
            unit = l2_normalize(own.embeddings)
            return own.replace(logits=scale * (unit @ text.T))

        return first.map_heads(matched), second

    def _pseudo_labels(self, target: KE2NTOutput, pixels: Tensor) -> PseudoLabels:
        """From the same outputs, or from the average's on the images as they are."""
        logits = target.logits.detach()
        if self.adapt.adapt.teacher == "average":
            assert self.ema is not None
            clean = self.model.preprocessing.normalize(pixels.to(self.device))
            with torch.no_grad(), self.accelerator.autocast():
                logits = gather_rows(self.ema.model(clean).logits)
        labels: PseudoLabels = self.parts.labeller(logits)
        return labels


@dataclass
class EntropyTrainer(_TargetTrainer):
    """Entropy minimization on the target alone, as in TENT (https://arxiv.org/abs/2006.10726)."""

    def losses(
        self, images: Tensor, labels: Tensor, progress: Progress
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Mean entropy of the answers, nats; what stands in place of labels is not looked at."""
        with self.accelerator.autocast():
            logits = gather_rows(self._forward(images).logits)
        entropy = -(logits.softmax(dim=1) * logits.log_softmax(dim=1)).sum(dim=1).mean()
        return entropy, {"entropy": entropy.detach()}
