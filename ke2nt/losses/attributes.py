"""Several attributes at once, each with labels that may be missing."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional

from ke2nt.errors import ModelError
from ke2nt.losses.precision import at_least_float32

__all__ = ["MISSING", "AttributeLoss"]

MISSING = -1
"""Label of an attribute that is not known."""


class AttributeLoss(nn.Module):
    """Mean over the attributes of the cross-entropy over the samples whose attribute is known.

    An attribute that no sample of the batch has gives exactly 0 with zero gradient.
    """

    def forward(
        self, logits: Mapping[str, Tensor], labels: Tensor
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Total and parts.

        Args:
            logits: Attribute → (B, V) for its V values, A attributes.
            labels: (B, A) int64 in the order of `logits`; `MISSING` where not known.

        Returns:
            The scalar to differentiate, and the cross-entropy of each attribute, detached.

        Raises:
            ModelError: The labels have another shape or dtype.
        """
        batch = len(next(iter(logits.values())))
        if labels.shape != (batch, len(logits)) or labels.dtype != torch.int64:
            raise ModelError(
                "the attribute labels do not fit",
                expected=f"int64 of shape ({batch}, {len(logits)})",
                found=f"{labels.dtype} of shape {tuple(labels.shape)}",
            )
        parts = {}
        for own, (name, rows) in zip(labels.unbind(dim=1), logits.items(), strict=True):
            summed = functional.cross_entropy(
                at_least_float32(rows), own, ignore_index=MISSING, reduction="sum"
            )
            parts[name] = summed / (own != MISSING).sum().clamp(min=1)
        total = torch.stack(list(parts.values())).mean()
        return total, {name: part.detach() for name, part in parts.items()}
