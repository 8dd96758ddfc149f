"""The two signatures of this room: a loss gives a scalar, an objective a total with its parts."""

from __future__ import annotations

from typing import NamedTuple, Protocol

from torch import Tensor

from ke2nt.banks.text_bank import TextBank
from ke2nt.models.output import KE2NTOutput

__all__ = ["Loss", "Objective", "ObjectiveResult"]


class ObjectiveResult(NamedTuple):
    """Result of an objective; it unpacks as `total, parts`.

    Attributes:
        total: The scalar to differentiate.
        parts: Name → scalar before weighting, detached, for the log.
    """

    total: Tensor
    parts: dict[str, Tensor]


class Loss(Protocol):
    """A single loss, usually an `nn.Module`."""

    def __call__(self, output: KE2NTOutput, labels: Tensor, bank: TextBank | None) -> Tensor:
        """Compute the loss of a batch.

        Args:
            output: A model's output for B images.
            labels: (B,) int64 class indices, or (B, K) rows that sum to 1.
            bank: Text embeddings of the K classes; None for a linear head.

        Returns:
            Scalar.
        """
        ...


class Objective(Protocol):
    """A weighted sum of losses, usually an `nn.Module`; called as a `Loss` is."""

    def __call__(
        self, output: KE2NTOutput, labels: Tensor, bank: TextBank | None
    ) -> ObjectiveResult:
        """Compute the total and its parts for a batch; arguments as of `Loss`."""
        ...
