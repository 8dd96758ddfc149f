"""What a step of an adaptation sees, and what every part of its objective is called with."""

from __future__ import annotations

import math
from typing import NamedTuple

from torch import Tensor

from ke2nt.banks.text_bank import TextBank
from ke2nt.models.output import KE2NTOutput

__all__ = ["DomainBatch", "PseudoLabels", "ramp"]


class PseudoLabels(NamedTuple):
    """What a model takes the target's images for.

    Attributes:
        labels: (B,) int64.
        weights: (B,) 1 where the label is used, 0 where it is not sure enough.
    """

    labels: Tensor
    weights: Tensor


class DomainBatch(NamedTuple):
    """One step's images of both domains.

    Every part of the objective is an `nn.Module` called as `part(batch, strength)` that gives a
    scalar, whose pull on the encoder is multiplied by `strength` in [0, 1].

    Attributes:
        source: Output for B_s labeled images.
        labels: (B_s,) int64 class indices.
        target: Output for B_t images without labels.
        pseudo: Their pseudo-labels.
        bank: Text bank of the target, None for a linear head.
    """

    source: KE2NTOutput
    labels: Tensor
    target: KE2NTOutput
    pseudo: PseudoLabels
    bank: TextBank | None = None


def ramp(progress: float, steepness: float = 10.0) -> float:
    """w(p) = 2 / (1 + exp(−a p)) − 1, from 0 towards 1; a = 0 gives 1 throughout.

    Args:
        progress: p, share of the training that is done, in [0, 1].
        steepness: a.
    """
    if steepness == 0.0:
        return 1.0
    return 2.0 / (1.0 + math.exp(-steepness * progress)) - 1.0
