"""Linear heads that name attributes of a face from each stage's features."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

__all__ = ["AttributeHeads"]


class AttributeHeads(nn.Module):
    """For each stage and attribute a linear layer.

    Args:
        widths: Width of each stage's pooled features, shallow to deep.
        sizes: Attribute → number of its values; names may hold any letters.
    """

    def __init__(self, widths: Sequence[int], sizes: Mapping[str, int]) -> None:
        super().__init__()
        self.sizes = dict(sizes)
        self.stages = nn.ModuleList(nn.Linear(width, sum(sizes.values())) for width in widths)

    def forward(self, pooled: Sequence[Tensor]) -> list[dict[str, Tensor]]:
        """Pooled features (B, C_i) of each stage → for each, attribute → (B, V) logits, float32."""
        found = []
        for head, features in zip(self.stages, pooled, strict=True):
            with torch.autocast(features.device.type, enabled=False):
                rows = head(features.float()).split(list(self.sizes.values()), dim=1)
            found.append(dict(zip(self.sizes, rows, strict=True)))
        return found
