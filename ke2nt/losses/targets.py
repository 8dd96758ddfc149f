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
    hard = labels.shape == (batch,) and labels.dtype == torch.int64
    soft = labels.shape == (batch, classes) and labels.is_floating_point()
    if batch == 0 or not (hard or soft):
        raise ModelError(
            "labels do not fit the batch" if batch else "the batch is empty",
            expected=f"int64 indices of shape ({batch},) or floating distributions of shape "
            f"({batch}, {classes})"
            if batch
            else "at least one sample",
            found=f"{labels.dtype} of shape {tuple(labels.shape)}",
        )
    if labels.device.type != "cpu":
        return
    if hard and not 0 <= int(labels.min()) <= int(labels.max()) < classes:
        raise ModelError(
            "a label is out of range",
            expected=f"0 to {classes - 1}",
            found=f"{int(labels.min())} to {int(labels.max())}",
        )
    if soft:
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
    zeros = torch.zeros(len(labels), classes, dtype=dtype, device=labels.device)
    return zeros.scatter(1, labels.unsqueeze(1), 1.0)


def without_neutral(distribution: Tensor, neutral_index: int | None) -> Tensor:
    """The distribution with its neutral column set to 0; rows are not rescaled."""
    if neutral_index is None:
        return distribution
    kept = distribution.clone()
    kept[:, neutral_index] = 0.0
    return kept
