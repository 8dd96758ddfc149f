"""L_s of KE2NT: cross-entropy of the image-text similarities."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional

from ke2nt.errors import ConfigError
from ke2nt.losses.cosine import at_least_float32
from ke2nt.losses.targets import check_labels
from ke2nt.models.output import KE2NTOutput
from ke2nt.text.bank import TextBank

__all__ = ["SimilarityLoss"]


class SimilarityLoss(nn.Module):
    """Cross-entropy between softmax(logits) and the labels.

    L_s of KE2NT (https://arxiv.org/abs/2409.08598); for a linear head, plain cross-entropy.

    Args:
        label_smoothing: Probability spread evenly over all classes, 0 (included) to 1 (excluded).

    Raises:
        ConfigError: label_smoothing is out of range.

    Example:
        >>> loss = SimilarityLoss()(model(images), labels, model.bank)
    """

    def __init__(self, label_smoothing: float = 0.0) -> None:
        super().__init__()
        if not 0 <= label_smoothing < 1:
            raise ConfigError(
                "label_smoothing is out of range", expected="0 to below 1", found=label_smoothing
            )
        self.label_smoothing = label_smoothing

    def forward(self, output: KE2NTOutput, labels: Tensor, bank: TextBank | None = None) -> Tensor:
        """Mean cross-entropy of the batch.

        Args:
            output: A model's output; only its logits (B, K) are used.
            labels: (B,) int64 class indices, or (B, K) rows that sum to 1.
            bank: Not used; taken so that every loss is called alike.

        Returns:
            Scalar ≥ 0, float32 or float64.

        Raises:
            ModelError: The labels do not fit the logits.
        """
        logits = at_least_float32(output.logits)
        check_labels(labels, *logits.shape)
        target = labels.to(logits.dtype) if labels.is_floating_point() else labels
        return functional.cross_entropy(logits, target, label_smoothing=self.label_smoothing)
