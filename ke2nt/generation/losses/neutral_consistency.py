"""Two ways to a person's neutral: the generator's edit, and the transformation network."""

from __future__ import annotations

import torch
from torch import Tensor

from ke2nt.losses.precision import at_least_float32
from ke2nt.runtime.l2_normalize import l2_normalize_or_zero

__all__ = ["neutral_consistency_loss"]


def neutral_consistency_loss(edited: Tensor, neutral: Tensor, chosen: Tensor) -> Tensor:
    """Mean 1 − cos(E(G(x, neutral)), M(E(x))) over the chosen faces; 0 if there is none.

    Args:
        edited: (B, D) embeddings f_e of the neutral edits.
        neutral: (B, D) neutral embeddings f_n of the faces themselves.
        chosen: bool (B,), the faces that are not neutral already.
    """
    edited = l2_normalize_or_zero(at_least_float32(edited))
    neutral = l2_normalize_or_zero(at_least_float32(neutral))
    cosine = (edited * neutral).sum(dim=1)
    distance = torch.where(chosen, 1.0 - cosine, torch.zeros_like(cosine))
    return distance.sum() / chosen.sum().clamp(min=1)
