"""An edit shows the same person as its source."""

from __future__ import annotations

from torch import Tensor

__all__ = ["identity_loss"]


def identity_loss(source: Tensor, edited: Tensor) -> Tensor:
    """Mean |φ(edit) − φ(source)| in an identity space φ; the source is the goal and stays.

    Args:
        source: (B, D) features of the faces; no gradient.
        edited: (B, D) features of their edits.
    """
    return (edited - source.detach()).abs().mean()
