"""Intensity: how far a face has moved from neutral, along the text direction of an emotion."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional

from ke2nt.text.bank import TextBank

__all__ = ["intensity"]


def intensity(embeddings: Tensor, neutral: Tensor, bank: TextBank) -> Tensor:
    """Signed length of the projection of f_e − f_n on the unit vector of t_k − t_0, raw text.

    Args:
        embeddings: (B, D) f_e.
        neutral: (B, D) f_n, the same faces' neutral embeddings.
        bank: Text embeddings of the K classes and of the neutral anchor, on the same device.

    Returns:
        (B, K); 0 for a neutral class, whose direction is zero.
    """
    moves = embeddings - neutral
    return moves @ functional.normalize((bank.raw - bank.neutral_raw).to(moves)).T
