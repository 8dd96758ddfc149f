"""Labels, checked and brought to one form: a distribution over the classes per sample."""

from __future__ import annotations

import torch
from torch import Tensor

from ke2nt.errors import ModelError

__all__ = ["check_labels", "class_distribution", "without_neutral"]

_SUM_TOLERANCE = 1e-3


def check_labels(labels: Tensor, batch: int, classes: int) -> None:
    """Check the shape and dtype of labels; on the CPU their values too (elsewhere that would sync).

    Args:
        labels: (B,) int64 class indices, or (B, K) floating rows that sum to 1.
        batch: B.
        classes: K.

    Raises:
        ModelError: The labels do not fit.
    """
    found = f"{labels.dtype} of shape {tuple(labels.shape)}"
    if batch == 0:
        raise ModelError("the batch is empty", expected="at least one sample", found=found)

    is_hard = labels.shape == (batch,) and labels.dtype == torch.int64
    is_soft = labels.shape == (batch, classes) and labels.is_floating_point()
    if not (is_hard or is_soft):
        raise ModelError(
            "labels do not fit the batch",
            expected=f"int64 indices of shape ({batch},) or floating distributions of shape "
            f"({batch}, {classes})",
            found=found,
        )

    # reading values off an accelerator would wait for its queue
    if labels.device.type == "cpu":
        if is_hard:
            _check_indices(labels, classes)
        else:
            _check_distributions(labels)


def _check_indices(labels: Tensor, classes: int) -> None:
    smallest, largest = int(labels.min()), int(labels.max())
    if not 0 <= smallest <= largest < classes:
        raise ModelError(
            "a label is out of range",
            expected=f"0 to {classes - 1}",
            found=f"{smallest} to {largest}",
        )


def _check_distributions(labels: Tensor) -> None:
    error = (labels.double().sum(dim=1) - 1).abs().max().item()
    if not (error <= _SUM_TOLERANCE and labels.min().item() >= 0):
        raise ModelError(
            "soft labels are not distributions",
            expected="rows of values in [0, 1] that sum to 1",
            found=f"minimum {labels.min().item():.3g}, row sum off by up to {error:.3g}",
        )


def class_distribution(labels: Tensor, classes: int, dtype: torch.dtype) -> Tensor:
    """(B, K) distribution per sample; one-hot for class indices."""
    if labels.is_floating_point():
        return labels.to(dtype)
    # scatter instead of one_hot, which reads the largest index off the device
    zeros = torch.zeros(len(labels), classes, dtype=dtype, device=labels.device)
    return zeros.scatter(1, labels.unsqueeze(1), 1.0)


def without_neutral(distribution: Tensor, neutral_index: int | None) -> Tensor:
    """The distribution with its neutral column set to 0; rows are not rescaled."""
    if neutral_index is None:
        return distribution
    kept = distribution.clone()
    kept[:, neutral_index] = 0.0
    return kept
