"""The loss that an edit shows the same person as its source."""

from __future__ import annotations

from torch import Tensor

__all__ = ["identity_loss"]


def identity_loss(source: Tensor, edited: Tensor) -> Tensor:
    """Mean |φ(edit) − φ(source)| in an identity space φ; only the edit gets a gradient.

    Args:
        source: (B, D) features of the faces.
        edited: (B, D) features of their edits.
    """
    return (edited - source.detach()).abs().mean()
