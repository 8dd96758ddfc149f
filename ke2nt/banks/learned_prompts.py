"""Text encoders that read learned vectors in prompts, beside plain text."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from ke2nt.errors import PromptError, TextEncoderError
from ke2nt.prompts.learned_vectors import plain_text, slotted, vectors_in
from ke2nt.vlm.base import EncodedText, Fingerprint, TextEncoder
from ke2nt.vlm.prompt_tower import PromptTower

__all__ = ["check_vectors_fit", "find_prompt_tower", "read_learned_prompts"]


def read_learned_prompts(encoder: TextEncoder, texts: Sequence[str]) -> TextEncoder:
    """Return the encoder, or one that also reads the learned vectors that some texts name."""
    return _LearnedPromptEncoder(encoder) if vectors_in(texts) else encoder


def check_vectors_fit(texts: Sequence[str], encoder: str, fingerprint: Fingerprint) -> None:
    """Refuse learned vectors of another encoder.

    Raises:
        PromptError: Some were learned for another encoder, weights or tokenizer.
    """
    for vectors in vectors_in(texts):
        if Fingerprint(vectors.weights, vectors.tokenizer) != fingerprint:
            raise PromptError(
                "learned prompts fit only the encoder that they were learned for",
                expected=f"{vectors.encoder} with weights {vectors.weights[:16]}…",
                found=f"{encoder} with weights {fingerprint.weights[:16]}…",
                hint="Name that encoder, or learn prompts for this one: ke2nt prompts learn.",
            )


def find_prompt_tower(encoder: TextEncoder) -> PromptTower:
    """Return the text tower of an encoder as a function of token embeddings.

    Raises:
        TextEncoderError: The encoder has none, as it is of another package.
    """
    find: Any = getattr(encoder, "prompt_learning_tower", None)
    if find is None:
        raise TextEncoderError(
            f"{encoder.id} cannot read learned prompts",
            expected="a text encoder with the method prompt_learning_tower",
            hint="Those of open_clip, transformers and minilm have it.",
        )
    tower: PromptTower = find()
    return tower


class _LearnedPromptEncoder:
    """An encoder whose prompts may hold the marks of learned vectors."""

    def __init__(self, encoder: TextEncoder) -> None:
        self._encoder = encoder
        self.id = encoder.id

    def fingerprint(self) -> Fingerprint:
        return self._encoder.fingerprint()

    def check_lengths(self, prompts: Sequence[str]) -> None:
        plain = [text for text in prompts if not vectors_in([text])]
        self._encoder.check_lengths(plain)

        # the tower counts what stands in the slots
        learned = [text for text in prompts if vectors_in([text])]
        tower = find_prompt_tower(self._encoder)
        tower.place([slotted(text)[0] for text in learned], names=learned)

    def unknown_texts(self, prompts: Sequence[str]) -> list[str]:
        find = getattr(self._encoder, "unknown_texts", None)
        if find is None:
            return []
        unknown = set(find([plain_text(text) for text in prompts]))
        return [text for text in prompts if plain_text(text) in unknown]

    def unknown_words(self, prompts: Sequence[str]) -> list[str]:
        find = getattr(self._encoder, "unknown_words", None)
        return find([plain_text(text) for text in prompts]) if find is not None else []

    def encode_text(self, prompts: Sequence[str]) -> EncodedText:
        # scale, facts and notes come with the words alone
        encoded = self._encoder.encode_text([plain_text(text) for text in prompts])
        embeddings = encoded.embeddings.clone()

        learned = [row for row, text in enumerate(prompts) if vectors_in([text])]
        embeddings[learned] = self._embed_learned([prompts[row] for row in learned]).to(embeddings)
        return replace(encoded, embeddings=embeddings)

    def _embed_learned(self, texts: Sequence[str]) -> Tensor:
        """(N, D) embeddings of prompts with marks."""
        tower = find_prompt_tower(self._encoder)
        divided = [slotted(text) for text in texts]
        vectors = [torch.from_numpy(rows) for _, runs in divided for rows in runs]
        with torch.no_grad():
            slots = tower.place([parts for parts, _ in divided], names=texts)
            return tower.encode_slotted(slots, torch.cat(vectors)).float().cpu()
