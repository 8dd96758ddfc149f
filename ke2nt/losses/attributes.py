"""Cross-entropy of several attributes at once, each with labels that may be missing."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from ke2nt.banks.text_bank import TextBank
from ke2nt.errors import ModelError
from ke2nt.losses.contract import ObjectiveResult
from ke2nt.losses.numerics import at_least_float32
from ke2nt.models.attribute_heads import AttributeOutput

__all__ = ["MISSING", "AttributeLoss"]

MISSING = -1
"""Label of an attribute that is not known."""


class AttributeLoss(nn.Module):
    """Mean over the attributes of the cross-entropy over the samples whose attribute is known.

    An attribute that is missing in the whole batch gives exactly 0 with zero gradient. It is called
    as every objective is, with an `AttributeOutput` in place of a `KE2NTOutput`.
    """

    def forward(
        self, output: AttributeOutput, labels: Tensor, bank: TextBank | None = None
    ) -> ObjectiveResult:
        """Compute the total and its parts for a batch.

        Args:
            output: Logits of A attributes for B images.
            labels: (B, A) int64 in the order of `output.logits`; `MISSING` where not known.
            bank: Not used.

        Returns:
            The mean, and the cross-entropy of each attribute by its name.

        Raises:
            ModelError: The labels have another shape or dtype.
        """
        batch = len(next(iter(output.logits.values())))
        expected_shape = (batch, len(output.logits))
        if labels.shape != expected_shape or labels.dtype != torch.int64:
            raise ModelError(
                "the attribute labels do not fit",
                expected=f"int64 of shape {expected_shape}",
                found=f"{labels.dtype} of shape {tuple(labels.shape)}",
            )

        parts: dict[str, Tensor] = {}
        columns = labels.unbind(dim=1)
        for column, (name, logits) in zip(columns, output.logits.items(), strict=True):
            # a mean of no samples would be NaN, so the sum is divided here
            summed = functional.cross_entropy(
                at_least_float32(logits), column, ignore_index=MISSING, reduction="sum"
            )
            parts[name] = summed / (column != MISSING).sum().clamp(min=1)

        total = torch.stack(list(parts.values())).mean()
        return ObjectiveResult(total, {name: part.detach() for name, part in parts.items()})
