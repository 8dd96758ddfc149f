"""Knowledge distillation: the class probabilities of another model as labels."""

from __future__ import annotations

import math

from torch import Tensor, nn
from torch.nn import functional

from ke2nt.errors import ConfigError, ModelError
from ke2nt.losses.numerics import at_least_float32

__all__ = ["DistillationLoss"]


class DistillationLoss(nn.Module):
    """T² KL(softmax(t / T) ‖ softmax(z / T)), the mean over a batch.

    Hinton et al., "Distilling the Knowledge in a Neural Network" (https://arxiv.org/abs/1503.02531):
    t are the logits of the teacher and z those of the student. The factor T² keeps the size of the
    gradients, which shrink as 1 / T². The divergence differs from the cross-entropy of that paper
    by the teacher's entropy alone, which has no gradient.

    Args:
        temperature: T > 0.

    Raises:
        ConfigError: The temperature is out of range.

    Example:
        >>> loss = DistillationLoss(2.0)(student(images).logits, teacher(images).logits)
    """

    def __init__(self, temperature: float = 1.0) -> None:
        super().__init__()
        if not 0 < temperature < math.inf:
            raise ConfigError(
                "the temperature of distillation is out of range",
                expected="above 0",
                found=temperature,
            )
        self.temperature = temperature

    def forward(self, logits: Tensor, teacher_logits: Tensor) -> Tensor:
        """Compute the loss of a batch.

        Args:
            logits: (B, K) of the student.
            teacher_logits: (B, K) of the teacher, in the same order of classes; no gradient flows
                to them.

        Returns:
            Scalar ≥ 0, float32 or float64.

        Raises:
            ModelError: The shapes differ.
        """
        if logits.shape != teacher_logits.shape:
            raise ModelError(
                "the logits of student and teacher differ in shape",
                expected=tuple(logits.shape),
                found=tuple(teacher_logits.shape),
            )

        # (B, K) logarithms of probabilities
        student = (at_least_float32(logits) / self.temperature).log_softmax(dim=1)
        teacher = (teacher_logits.detach().to(student.dtype) / self.temperature).log_softmax(dim=1)
        divergence = functional.kl_div(student, teacher, reduction="batchmean", log_target=True)
        return divergence * self.temperature**2
