"""The batch that every part of an adaptation objective is called with."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor

from ke2nt.banks.text_bank import TextBank
from ke2nt.models.output import KE2NTOutput

__all__ = ["DomainBatch", "PseudoLabels"]


class PseudoLabels(NamedTuple):
    """Predicted classes of the target images, used in place of labels.

    Attributes:
        labels: (B,) int64 class indices.
        weights: (B,) 1 where the label is used, 0 where its confidence is below the threshold.
    """

    labels: Tensor
    weights: Tensor


class DomainBatch(NamedTuple):
    """Model outputs of one step for both domains.

    Every part of the objective is an `nn.Module` called as `part(batch, strength)`. It returns a
    scalar whose gradient on the image encoder is multiplied by `strength` in [0, 1].

    Attributes:
        source: Output for B_s labeled images.
        labels: (B_s,) int64 class indices.
        target: Output for B_t unlabeled images.
        pseudo: Pseudo-labels of the target images.
        bank: Text bank of the target, None for a linear head.
    """

    source: KE2NTOutput
    labels: Tensor
    target: KE2NTOutput
    pseudo: PseudoLabels
    bank: TextBank | None = None
