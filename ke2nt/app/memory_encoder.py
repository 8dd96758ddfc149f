"""A text encoder that keeps its embeddings in memory, so that edited words appear at once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property

import torch
from torch import Tensor

from ke2nt.banks.learned_prompts import find_prompt_tower
from ke2nt.vlm.base import EncodedText, Fingerprint, TextEncoder
from ke2nt.vlm.prompt_tower import PromptTower

__all__ = ["MemoryEncoder"]

_MAX_PROMPTS = 20_000


class MemoryEncoder:
    """A text encoder whose embeddings are kept in memory only.

    Args:
        encoder: Any text encoder.
    """

    def __init__(self, encoder: TextEncoder) -> None:
        self.id = encoder.id
        self._encoder = encoder
        self._embeddings: dict[str, Tensor] = {}
        self._last: EncodedText | None = None  # of the encoder, for its scale, bias and facts

    @cached_property
    def _fingerprint(self) -> Fingerprint:
        return self._encoder.fingerprint()

    def fingerprint(self) -> Fingerprint:
        """Return the digests of the encoder."""
        return self._fingerprint

    def check_lengths(self, prompts: Sequence[str]) -> None:
        """Raise a PromptError that names every prompt that would be truncated."""
        new_prompts = self._find_new(prompts)
        if new_prompts:
            self._encoder.check_lengths(new_prompts)

    def unknown_texts(self, prompts: Sequence[str]) -> list[str]:
        """Prompts that the encoder cannot read in full, as far as it says so."""
        find_unknown = getattr(self._encoder, "unknown_texts", None)
        return find_unknown(prompts) if find_unknown is not None else []

    def unknown_words(self, prompts: Sequence[str]) -> list[str]:
        """Words that the encoder only spells out, as far as it says so."""
        find_unknown = getattr(self._encoder, "unknown_words", None)
        return find_unknown(prompts) if find_unknown is not None else []

    def prompt_learning_tower(self) -> PromptTower:
        """Return the text tower of the encoder, which reads learned vectors."""
        return find_prompt_tower(self._encoder)

    def encode_text(self, prompts: Sequence[str]) -> EncodedText:
        """Embed prompts: (N, D); only new ones go through the encoder."""
        new_prompts = self._find_new(prompts)
        if new_prompts:
            # a full memory starts over, with these prompts
            if len(self._embeddings) + len(new_prompts) > _MAX_PROMPTS:
                self._embeddings.clear()
                new_prompts = list(dict.fromkeys(prompts))

            encoded = self._encoder.encode_text(new_prompts)
            self._embeddings |= dict(zip(new_prompts, encoded.embeddings, strict=True))
            self._last = encoded

        # (N, D)
        embeddings = torch.stack([self._embeddings[prompt] for prompt in prompts])
        return replace(self._last, embeddings=embeddings) if self._last else EncodedText(embeddings)

    def _find_new(self, prompts: Sequence[str]) -> list[str]:
        """The prompts that are not in memory, each once."""
        return [prompt for prompt in dict.fromkeys(prompts) if prompt not in self._embeddings]
