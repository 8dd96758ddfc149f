"""A text encoder that remembers what it has embedded, so that editing words is quick."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property

import torch
from torch import Tensor

from ke2nt.vlm.base import EncodedText, Fingerprint, TextEncoder

__all__ = ["MemoryEncoder"]

_MOST = 20_000


class MemoryEncoder:
    """The same encoder, with its embeddings kept in memory alone.

    Args:
        encoder: Any text encoder.
    """

    def __init__(self, encoder: TextEncoder) -> None:
        self.id = encoder.id
        self._encoder = encoder
        self._known: dict[str, Tensor] = {}
        self._scales: tuple[float | None, float | None] = (None, None)

    @cached_property
    def _fingerprint(self) -> Fingerprint:
        return self._encoder.fingerprint()

    def fingerprint(self) -> Fingerprint:
        """Digests of the encoder."""
        return self._fingerprint

    def check_lengths(self, prompts: Sequence[str]) -> None:
        """Raise PromptError that names every prompt that would be truncated."""
        if new := self._new(prompts):
            self._encoder.check_lengths(new)

    def encode_text(self, prompts: Sequence[str]) -> EncodedText:
        """Embed prompts: (N, D); only new ones go through the encoder."""
        if new := self._new(prompts):
            if len(self._known) + len(new) > _MOST:
                self._known.clear()
                new = list(dict.fromkeys(prompts))
            encoded = self._encoder.encode_text(new)
            self._known |= dict(zip(new, encoded.embeddings, strict=True))
            self._scales = (encoded.logit_scale, encoded.logit_bias)
        return EncodedText(torch.stack([self._known[text] for text in prompts]), *self._scales)

    def _new(self, prompts: Sequence[str]) -> list[str]:
        return [text for text in dict.fromkeys(prompts) if text not in self._known]
