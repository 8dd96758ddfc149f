"""Training on labeled source images and unlabeled target images together."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import torch
from torch import Tensor

from ke2nt.adapt.domain_batch import DomainBatch, PseudoLabels
from ke2nt.adapt.objective import AdaptationLoss
from ke2nt.adapt.ramp import compute_ramp, compute_reversal
from ke2nt.adapt.target_evaluation import evaluate_on_target
from ke2nt.adapt.target_stream import TargetStream
from ke2nt.banks.text_bank import TextBank
from ke2nt.config.adapt import AdaptConfig
from ke2nt.data.tensors import Batch
from ke2nt.models.base import ExpressionModel
from ke2nt.models.batch_norms import keep_statistics
from ke2nt.models.calibration import Calibration
from ke2nt.models.ke2nt import KE2NT
from ke2nt.models.output import KE2NTOutput
from ke2nt.runtime.distributed import gather_rows, process_rows
from ke2nt.runtime.l2_normalize import l2_normalize
from ke2nt.training.image_augmenter import StepImages
from ke2nt.training.recognition_task import RecognitionInputs, RecognitionTask
from ke2nt.training.task import Position, StepResult

__all__ = ["AdaptationInputs", "AdaptationTask"]


class AdaptationInputs(NamedTuple):
    """Inputs of a step.

    Attributes:
        source: Labeled images.
        target: Target images and their random changes, None without parts.
        strength: w(p), value of the ramp.
        reversal: Strength of the discriminators' reversed gradient, None for `strength`.
    """

    source: RecognitionInputs
    target: StepImages | None
    strength: float
    reversal: float | None = None


@dataclass(kw_only=True)
class AdaptationTask(RecognitionTask):
    """Train a model on the source objective plus the parts of an adaptation.

    Attributes:
        config: Configuration of the run.
        stream: Batches of the target.
        parts: Objective of the adaptation; `state.extra`, so that checkpoints hold it.
        source_bank: Text bank of the source images, None for the model's bank.
        correction: Changes the logits that pseudo-labels come from; None for no change.
    """

    supports_cuda_graph: ClassVar[bool] = False
    command: ClassVar[str] = "ke2nt adapt"

    config: AdaptConfig
    stream: TargetStream
    parts: AdaptationLoss
    source_bank: TextBank | None = None
    correction: Calibration | None = None

    def prepare(  # type: ignore[override]
        self, batch: Batch, position: Position
    ) -> AdaptationInputs:
        """Prepare the labeled images, and the target images of the step."""
        source = super().prepare(batch, position)
        if not self.parts.weights:
            return AdaptationInputs(source, None, 0.0)

        # the stream counts steps over all epochs
        target = self.stream.batch(position.done, process_rows())
        images = self.augmenter.draw(target, position, "augment target")

        # p goes from 0 in the first step to 1 in the last
        progress = position.done / max(1, position.total - 1)
        strength = compute_ramp(progress, self.config.adapt.ramp)

        # the published ramp of the reversal counts steps, whatever the length of the run
        steps = self.config.adapt.reversal_ramp
        reversal = compute_reversal(position.done + 1, steps) if steps else None
        return AdaptationInputs(source, images, strength, reversal)

    def step(  # type: ignore[override]
        self, inputs: AdaptationInputs, turn: str = "train"
    ) -> StepResult:
        """Compute the source objective and the parts of the adaptation on the global batch."""
        if inputs.target is None:
            return super().step(inputs.source)

        # both domains are augmented in the same way; only labeled images may be mixed
        source_images, labels = self.mixed_images(inputs.source)
        target_images = self.augmenter.model_input(inputs.target).to(source_images.dtype)
        source, target = self._forward_domains(source_images, target_images)

        # the objective of the source, with the prompts of the source
        labels = gather_rows(labels)
        bank = self.model.bank if self.source_bank is None else self.source_bank
        source_loss, source_parts = self.loss(source, labels, bank)

        # the parts see class indices, also for mixed images
        class_indices = labels if labels.ndim == 1 else labels.argmax(dim=1)
        pseudo = self._pseudo_labels(target, inputs.target.pixels)
        batch = DomainBatch(source, class_indices, target, pseudo, self.model.bank)
        adaptation_loss, parts = self.parts(batch, inputs.strength, inputs.reversal)
        return StepResult.with_total(source_loss + adaptation_loss, {**source_parts, **parts})

    def judge(self, model: ExpressionModel) -> tuple[float, dict[str, Any]]:
        """Return the score that the epoch is chosen by, and metrics of both domains."""
        information, record = evaluate_on_target(
            model, self.stream.images, self.config.select, self.compute
        )
        source_score, source_record = super().judge(model)
        score = source_score if self.config.adapt.choose == "source" else information
        return score, {**record, **source_record}

    def _forward_domains(self, source: Tensor, target: Tensor) -> tuple[KE2NTOutput, KE2NTOutput]:
        """Return the outputs for both domains, of all processes."""
        with self.compute.autocast():
            if self.config.adapt.normalization == "joint":
                # one pass, so that both domains share the batch statistics
                both = self.model(torch.cat([source, target]))
                source_output = both.map(lambda x: gather_rows(x[: len(source)]))
                target_output = both.map(lambda x: gather_rows(x[len(source) :]))
            else:
                # "target": the running statistics are those of the target alone
                alone = self.config.adapt.normalization == "target"
                with keep_statistics(self.model) if alone else nullcontext():
                    source_output = self.model(source).map(gather_rows)
                target_output = self.model(target).map(gather_rows)
        return self._with_source_bank(source_output), target_output

    def _with_source_bank(self, output: KE2NTOutput) -> KE2NTOutput:
        """Recompute the logits of every head with the prompts of the source."""
        if self.source_bank is None:
            return output
        assert isinstance(self.model, KE2NT)
        text, scale = self.source_bank.embeddings.to(output.embeddings), self.model.logit_scale

        def match(head: KE2NTOutput) -> KE2NTOutput:
            return head.replace(logits=scale * (l2_normalize(head.embeddings) @ text.T))

        return output.map_heads(match)

    def _pseudo_labels(self, target: KE2NTOutput, pixels: Tensor) -> PseudoLabels:
        """Label the target by its outputs, or by the average on images without augmentation."""
        logits = target.logits.detach()
        if self.config.adapt.teacher == "average":
            assert self.state.ema is not None
            images = self.augmenter.preprocessing.normalize(pixels)
            with torch.no_grad(), self.compute.autocast():
                logits = gather_rows(self.state.ema.model(images).logits)

        if self.correction is not None:
            logits = self.correction.apply(logits.float())
        labels: PseudoLabels = self.parts.labeller(logits)
        return labels
