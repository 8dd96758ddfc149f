"""Two ways to a person's neutral: the generator's edit, and the transformation network."""

from __future__ import annotations

import torch
from torch import Tensor

from ke2nt.losses.cosine import at_least_float32, unit

__all__ = ["neutral_consistency_loss"]


def neutral_consistency_loss(edited: Tensor, neutral: Tensor, chosen: Tensor) -> Tensor:
    """Mean 1 − cos(E(G(x, neutral)), M(E(x))) over the chosen faces; 0 if there is none.

    Args:
        edited: (B, D) embeddings f_e of the neutral edits.
        neutral: (B, D) neutral embeddings f_n of the faces themselves.
        chosen: bool (B,), the faces that are not neutral already.
    """
    cosine = (unit(at_least_float32(edited)) * unit(at_least_float32(neutral))).sum(dim=1)
    distance = torch.where(chosen, 1.0 - cosine, torch.zeros_like(cosine))
    return distance.sum() / chosen.sum().clamp(min=1)
