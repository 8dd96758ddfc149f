"""Entropy minimization on unlabeled target images alone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from ke2nt.adapt.target_evaluation import evaluate_on_target
from ke2nt.models.base import ExpressionModel
from ke2nt.training.recognition_task import RecognitionInputs, RecognitionTask
from ke2nt.training.task import StepResult

__all__ = ["EntropyTask"]


@dataclass(kw_only=True)
class EntropyTask(RecognitionTask):
    """Minimize the entropy of the predictions, as in TENT (https://arxiv.org/abs/2006.10726).

    `data` holds the target images; their labels are placeholders and never read.
    """

    supports_cuda_graph: ClassVar[bool] = False
    command: ClassVar[str] = "ke2nt adapt"

    def step(self, inputs: RecognitionInputs, turn: str = "train") -> StepResult:
        """Compute the mean entropy of the predictions, nats."""
        images, _ = self.mixed_images(inputs)
        logits = self.forward(images).logits
        entropy = -(logits.softmax(dim=1) * logits.log_softmax(dim=1)).sum(dim=1).mean()
        return StepResult.with_total(entropy, {"entropy": entropy.detach()})

    def judge(self, model: ExpressionModel) -> tuple[float, dict[str, Any]]:
        """Return the mutual information on the target, and label-free metrics for the log."""
        return evaluate_on_target(model, self.data.train, self.config.select, self.compute)
