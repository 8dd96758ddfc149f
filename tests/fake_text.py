"""A text encoder that costs nothing: vectors from a hash of the words; it counts its calls."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import torch

from ke2nt.prompts.prompt_set import PromptSet
from ke2nt.vlm.base import EncodedText, Fingerprint, refuse_truncation

WIDTH = 6


def vector(text: str) -> np.ndarray:
    """(WIDTH,) float32, any norm."""
    seed = int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big")
    return np.random.default_rng(seed).normal(size=WIDTH).astype(np.float32) * 3


class FakeEncoder:
    id = "fake"

    def __init__(self, log: Path | None = None, *, scale: float | None = None, words: int = 50):
        self.log, self.scale, self.words = log, scale, words
        self.weights, self.tokenizer = "w" * 64, "t" * 64
        self.calls: list[list[str]] = []

    def fingerprint(self) -> Fingerprint:
        return Fingerprint(self.weights, self.tokenizer)

    def check_lengths(self, prompts) -> None:
        counts = [len(text.split()) for text in prompts]
        refuse_truncation(prompts, counts, self.words, encoder=self.id)

    def encode_text(self, prompts) -> EncodedText:
        self.calls.append(list(prompts))
        if self.log:
            with self.log.open("a") as file:
                file.write("encoded\n")
        return EncodedText(torch.from_numpy(np.stack([vector(t) for t in prompts])), self.scale)


def small_prompts(**changes) -> PromptSet:
    return PromptSet(
        **{
            "name": "small",
            "templates": ["a {class} face", "the face looks {class}"],
            "classes": {"neutral": ["neutral"], "happiness": ["happy", "glad"], "fear": ["afraid"]},
            **changes,
        }
    )
