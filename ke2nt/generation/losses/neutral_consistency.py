"""Consistency of two neutral embeddings: of the generator's edit, and of the transformation."""

from __future__ import annotations

import torch
from torch import Tensor

from ke2nt.losses.numerics import at_least_float32
from ke2nt.runtime.l2_normalize import l2_normalize_or_zero

__all__ = ["neutral_consistency_loss"]


def neutral_consistency_loss(edited: Tensor, neutral: Tensor, mask: Tensor) -> Tensor:
    """Mean 1 − cos(E(G(x, neutral)), M(E(x))) over the selected faces; 0 if there are none.

    Args:
        edited: (B, D) embeddings f_e of the neutral edits.
        neutral: (B, D) neutral embeddings f_n of the faces themselves.
        mask: bool (B,), the faces that are not neutral already.
    """
    edited = l2_normalize_or_zero(at_least_float32(edited))
    neutral = l2_normalize_or_zero(at_least_float32(neutral))

    # (B,) cosine similarity of each face's two embeddings
    cosine = (edited * neutral).sum(dim=1)
    distance = torch.where(mask, 1.0 - cosine, torch.zeros_like(cosine))
    return distance.sum() / mask.sum().clamp(min=1)
