"""What text encoders give and take: fingerprints, embeddings, and the refusal to truncate."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ke2nt.errors import PromptError, TextEncoderError

if TYPE_CHECKING:
    from torch import Tensor

__all__ = [
    "EncodedText",
    "Fingerprint",
    "WeightsUnavailableError",
    "refuse_truncation",
]


class WeightsUnavailableError(TextEncoderError):
    """The files of a named encoder are not on this machine and cannot be fetched."""


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """Digests that say which encoder made an embedding.

    Attributes:
        weights: Hex SHA-256 over the weight files and the settings that change their meaning.
        tokenizer: Hex SHA-256 over the tokenizer's files and settings.
    """

    weights: str
    tokenizer: str


@dataclass(frozen=True, slots=True, eq=False)
class EncodedText:
    """Text embeddings as the tower gives them.

    Attributes:
        embeddings: (N, D) float32, not normalized unless the tower itself ends so.
        logit_scale: The factor on cosine similarities that the encoder was trained with
            (exp of its parameter), or None where it has none.
        logit_bias: The offset that SigLIP-like models add to their logits, or None.
    """

    embeddings: Tensor
    logit_scale: float | None = None
    logit_bias: float | None = None


def refuse_truncation(
    prompts: Sequence[str], counts: Sequence[int], limit: int, *, encoder: str
) -> None:
    """Raise PromptError that names every prompt with more tokens than the encoder reads.

    Args:
        prompts: The texts.
        counts: Tokens of each, special tokens included.
        limit: Context length of the encoder in tokens.
        encoder: Id of the encoder, for the message.
    """
    long = [f"{text!r} ({n})" for text, n in zip(prompts, counts, strict=True) if n > limit]
    if long:
        raise PromptError(
            f"{len(long)} prompt{'s' if len(long) > 1 else ''} would be truncated by {encoder}",
            expected=f"at most {limit} tokens",
            found=", ".join(long),
            hint="Shorten the words or descriptions, or choose an encoder that reads more.",
        )
