"""Linear heads that name attributes of a face from each stage's features."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

__all__ = ["AttributeHeads", "AttributeOutput"]


@dataclass(frozen=True, eq=False)
class AttributeOutput:
    """Output of attribute heads for a batch of B images.

    Attributes:
        logits: Attribute → (B, V), float32, V the number of its values.
    """

    logits: Mapping[str, Tensor]

    def map(self, change: Callable[[Tensor], Tensor]) -> AttributeOutput:
        """Apply a function to the logits of each attribute."""
        return AttributeOutput({name: change(rows) for name, rows in self.logits.items()})


class AttributeHeads(nn.Module):
    """A linear layer for each stage, over the values of all attributes.

    Args:
        widths: Width of each stage's pooled features, shallow to deep.
        sizes: Attribute → number of its values; names may hold any letters.
    """

    def __init__(self, widths: Sequence[int], sizes: Mapping[str, int]) -> None:
        super().__init__()
        self.sizes = dict(sizes)
        self.stages = nn.ModuleList(nn.Linear(width, sum(sizes.values())) for width in widths)

    def forward(self, pooled: Sequence[Tensor]) -> list[AttributeOutput]:
        """Compute the logits of every attribute from each stage.

        Args:
            pooled: Features (B, C_i) of each stage, shallow to deep.

        Returns:
            An output for each stage.
        """
        outputs = []
        # float32, as for the other heads: probabilities near 0 and 1 need the digits
        for head, features in zip(self.stages, pooled, strict=True):
            with torch.autocast(features.device.type, enabled=False):
                columns = head(features.float()).split(list(self.sizes.values()), dim=1)
            outputs.append(AttributeOutput(dict(zip(self.sizes, columns, strict=True))))
        return outputs
