"""Learned context vectors, and the marks that stand for them in prompts.

A prompt with learned vectors is text like any other: "[V1-16@3f0a…] happiness." says that the
vectors 1 to 16 of the context with that digest come before the word. The digest covers the vectors
and the encoder that they were learned for, so that a text alone identifies an embedding, in caches
and in files.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from ke2nt.errors import PromptError
from ke2nt.runtime.digest import digest_bytes, digest_json

if TYPE_CHECKING:
    import numpy as np

__all__ = [
    "LearnedVectors",
    "find_vectors",
    "mark",
    "plain_text",
    "register",
    "slotted",
    "unknown_marks",
    "vectors_in",
]

_MARK = re.compile(r"\[V([1-9][0-9]{0,3})-([1-9][0-9]{0,3})@([0-9a-f]{16})\]")
_DIGITS = 16

# Contexts by digest. An entry never changes, as its name covers its content.
_KNOWN: dict[str, LearnedVectors] = {}


@dataclass(frozen=True, eq=False)
class LearnedVectors:
    """A learned context, and the encoder that reads it.

    Attributes:
        values: (M, W) float32, in the space of the encoder's token embeddings.
        encoder: Id of the encoder.
        weights: Digest of its weights.
        tokenizer: Digest of its tokenizer.
    """

    values: np.ndarray
    encoder: str
    weights: str
    tokenizer: str

    @cached_property
    def digest(self) -> str:
        """Name of the context: digits of a digest over vectors and encoder."""
        facts = {
            "vectors": digest_bytes(self.values.astype("<f4").tobytes()),
            "shape": list(self.values.shape),
            "weights": self.weights,
            "tokenizer": self.tokenizer,
        }
        return digest_json(facts)[:_DIGITS]


def register(vectors: LearnedVectors) -> str:
    """Make a context known to this process; return its digest."""
    _KNOWN.setdefault(vectors.digest, vectors)
    return vectors.digest


def find_vectors(digest: str) -> LearnedVectors | None:
    """Return the context of a digest, or None if it is not known here."""
    return _KNOWN.get(digest)


def mark(digest: str, first: int, last: int) -> str:
    """Return the mark of the vectors `first` to `last` of a context, counted from 1."""
    return f"[V{first}-{last}@{digest}]"


def vectors_in(texts: Iterable[str]) -> list[LearnedVectors]:
    """Return every context that some texts name, once each.

    Raises:
        PromptError: One is not known here.
    """
    digests = dict.fromkeys(match[3] for text in texts for match in _MARK.finditer(text))
    return [_find(digest) for digest in digests]


def unknown_marks(texts: Iterable[str]) -> list[str]:
    """Return the marks in some texts that name no known vectors."""
    marks = dict.fromkeys(match[0] for text in texts for match in _MARK.finditer(text))
    unknown = []
    for text in marks:
        match = _MARK.fullmatch(text)
        assert match is not None
        vectors = _KNOWN.get(match[3])
        if vectors is None or not int(match[1]) <= int(match[2]) <= len(vectors.values):
            unknown.append(text)
    return unknown


def slotted(text: str) -> tuple[list[str | int], list[np.ndarray]]:
    """Divide a text into words and slots.

    Returns:
        The parts in order, an int for so many slots; and the vectors (M_i, W) of each run of slots.

    Raises:
        PromptError: A mark names vectors that are not known here.
    """
    parts: list[str | int] = []
    runs: list[np.ndarray] = []
    end = 0
    for match in _MARK.finditer(text):
        rows = _find(match[3]).values[int(match[1]) - 1 : int(match[2])]
        parts += [text[end : match.start()], len(rows)]
        runs.append(rows)
        end = match.end()
    return [part for part in (*parts, text[end:]) if part != ""], runs


def plain_text(text: str) -> str:
    """Return a text without its marks; "." if nothing else is in it."""
    return " ".join(_MARK.sub(" ", text).split()) or "."


def _find(digest: str) -> LearnedVectors:
    vectors = _KNOWN.get(digest)
    if vectors is None:
        raise PromptError(
            f"the learned vectors {digest} are not known",
            hint="Load the prompt set that holds them from its file.",
        )
    return vectors
