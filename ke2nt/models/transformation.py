"""The network M of KE2NT: from an expression embedding to the same face's neutral embedding."""

from __future__ import annotations

from torch import Tensor, nn

from ke2nt.errors import ModelError

__all__ = ["TransformationNetwork"]


class TransformationNetwork(nn.Module):
    """f_n = M(f_e): Linear(D, D / r) → ReLU → Linear(D / r, D), as in https://arxiv.org/abs/2409.08598.

    Args:
        dim: D, width of the text space.
        reduction: r; 4 as published.

    Raises:
        ModelError: The reduction leaves no hidden unit.
    """

    def __init__(self, dim: int, reduction: int = 4) -> None:
        super().__init__()
        if not 1 <= reduction <= dim:
            raise ModelError("reduction is out of range", expected=f"1 to {dim}", found=reduction)
        hidden = dim // reduction
        self.down = nn.Linear(dim, hidden)
        self.up = nn.Linear(hidden, dim)

    def forward(self, embeddings: Tensor) -> Tensor:
        """(B, D) expression embeddings → (B, D) neutral embeddings."""
        return self.up(self.down(embeddings).relu())
