"""What every recognizer returns."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from torch import Tensor

__all__ = ["DeepOutput", "KE2NTOutput", "map_output"]


class KE2NTOutput(NamedTuple):
    """Output of a recognizer for a batch of B images.

    Attributes:
        logits: (B, K), float32; softmax over them gives class probabilities.
        embeddings: (B, D) expression embeddings f_e, not normalized.
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


class DeepOutput(KE2NTOutput):
    """Output of a recognizer with attention heads: what its stages say, fused, and each of them.

    It is the fused output (logits, embeddings, neutral_embeddings) with two attributes more.

    Attributes:
        stages: Output of each stage's own head, shallow to deep.
        attention: Spatial attention of each stage, (B, h, w) in [0, 1], shallow to deep; empty for
            a block without it.
    """

    stages: tuple[KE2NTOutput, ...]
    attention: tuple[Tensor, ...]

    @classmethod
    def of(
        cls, fused: KE2NTOutput, stages: tuple[KE2NTOutput, ...], attention: tuple[Tensor, ...]
    ) -> DeepOutput:
        """From its parts."""
        output = cls(*fused)
        output.stages, output.attention = stages, attention
        return output

    def map(self, change: Callable[[Tensor], Tensor]) -> DeepOutput:
        """The same change of every tensor, those of the stages included."""
        return DeepOutput.of(
            super().map(change),
            tuple(stage.map(change) for stage in self.stages),
            tuple(map(change, self.attention)),
        )


def map_output(output: KE2NTOutput, change: Callable[[KE2NTOutput], KE2NTOutput]) -> KE2NTOutput:
    """Change an output, and where it has stages, the output of each; attention stays."""
    changed = change(output)
    if not isinstance(output, DeepOutput):
        return changed
    return DeepOutput.of(changed, tuple(map(change, output.stages)), output.attention)
