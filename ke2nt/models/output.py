"""What every recogniser returns."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from torch import Tensor

__all__ = ["KE2NTOutput"]


class KE2NTOutput(NamedTuple):
    """Output of a recogniser for a batch of B images.

    Attributes:
        logits: (B, K), float32; softmax over them gives class probabilities.
        embeddings: (B, D) expression embeddings f_e, not normalised.
        neutral_embeddings: (B, D) neutral embeddings f_n of the same faces, or None where the
            model has no transformation network (the linear head).
    """

    logits: Tensor
    embeddings: Tensor
    neutral_embeddings: Tensor | None

    def map(self, change: Callable[[Tensor], Tensor]) -> KE2NTOutput:
        """The same change of every tensor, such as taking some of the rows."""
        neutral = self.neutral_embeddings
        return KE2NTOutput(
            change(self.logits),
            change(self.embeddings),
            None if neutral is None else change(neutral),
        )
