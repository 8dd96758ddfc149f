"""The output of every recognizer."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Self

from torch import Tensor
from torch.export import register_dataclass

__all__ = ["KE2NTOutput"]


@dataclass(frozen=True, eq=False)
class KE2NTOutput:
    """Output of a recognizer for a batch of B images.

    It unpacks into its first three fields: `logits, f_e, f_n = model(images)`.

    Attributes:
        logits: (B, K), float32; softmax over them gives class probabilities.
        embeddings: (B, D) expression embeddings f_e as projected, any norm. With attention heads
            those of a stage have unit norm, and the fused ones are their weighted sum.
        neutral_embeddings: (B, D) neutral embeddings f_n of the same faces, or None if the model
            has no transformation network (the linear head).
        stages: Output of each stage's own head, shallow to deep; empty without attention heads.
            The fields above are then the fusion of the stages.
        attention: Spatial attention of each stage, (B, h, w) in [0, 1], shallow to deep; empty
            without spatial attention.
        logit_bias: Scalar that the pairwise sigmoid adds to all logits, if the model learns it; a
            softmax does not depend on it.
    """

    logits: Tensor
    embeddings: Tensor
    neutral_embeddings: Tensor | None = None
    stages: tuple[KE2NTOutput, ...] = ()
    attention: tuple[Tensor, ...] = ()
    logit_bias: Tensor | None = None

    def __iter__(self) -> Iterator[Any]:
        """Yield logits, embeddings and neutral embeddings."""
        yield self.logits
        yield self.embeddings
        yield self.neutral_embeddings

    def replace(self, **changes: Any) -> Self:
        """Return a copy with some fields changed; the others, such as `stages`, are kept."""
        return dataclasses.replace(self, **changes)

    def map(self, change: Callable[[Tensor], Tensor]) -> KE2NTOutput:
        """Apply a function to every tensor of images, including those of the stages.

        Args:
            change: Tensor to tensor, such as a selection of rows.
        """
        neutral = self.neutral_embeddings
        return KE2NTOutput(
            logits=change(self.logits),
            embeddings=change(self.embeddings),
            neutral_embeddings=None if neutral is None else change(neutral),
            stages=tuple(stage.map(change) for stage in self.stages),
            attention=tuple(map(change, self.attention)),
            logit_bias=self.logit_bias,
        )

    def map_heads(self, change: Callable[[KE2NTOutput], KE2NTOutput]) -> KE2NTOutput:
        """Apply a function to the fused output and to each stage's output.

        Args:
            change: Output to output, such as a scaling of the logits. Its result must not depend on
                `stages` or `attention`, which are kept.
        """
        stages = tuple(change(stage) for stage in self.stages)
        return change(self).replace(stages=stages, attention=self.attention)


# torch.export and torch.utils._pytree see the tensors inside
register_dataclass(KE2NTOutput)
