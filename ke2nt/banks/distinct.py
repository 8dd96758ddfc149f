"""Texts that an encoder cannot tell apart: refused as classes, and named as prompts."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from ke2nt.errors import Ke2ntWarning, PromptError

if TYPE_CHECKING:
    from ke2nt.vlm.base import TextEncoder

__all__ = ["check_distinct_classes", "describe_texts", "find_equal_texts", "warn_of_notes"]

_SAME = 1e-4  # distance of unit vectors; rounding gives 1e-6, different words more than 0.01
_NEAR = 1 - 1e-5  # cosine
_CHUNK = 1024
_SHOWN = 5


def find_equal_texts(texts: Sequence[str], embeddings: Tensor) -> list[tuple[str, ...]]:
    """Group texts whose embeddings are equal up to rounding.

    Args:
        texts: N distinct texts.
        embeddings: (N, D) of unit norm.

    Returns:
        Groups of two or more texts, in the order of their first member.
    """
    vectors = embeddings.detach().to("cpu", torch.float64)
    groups: dict[int, list[int]] = {}
    member_of: dict[int, int] = {}
    for start in range(0, len(texts), _CHUNK):
        # near pairs by float32 cosines (M, N), the distance in float64
        cosines = vectors[start : start + _CHUNK].float() @ vectors.float().T
        for row, second in (cosines > _NEAR).nonzero().tolist():
            first = start + row
            if second <= first or (vectors[first] - vectors[second]).norm() >= _SAME:
                continue
            leader = member_of.setdefault(first, first)
            if second not in member_of:
                member_of[second] = leader
                groups.setdefault(leader, [leader]).append(second)
    return [tuple(texts[index] for index in group) for group in groups.values()]


def check_distinct_classes(classes: Sequence[str], embeddings: Tensor, *, encoder: object) -> None:
    """Refuse classes with equal embeddings: whichever of them is answered says nothing.

    Args:
        classes: K names.
        embeddings: (K, D) of unit norm.
        encoder: Name of the text encoder, for the message.

    Raises:
        PromptError: Two classes have the same embedding.
    """
    groups = find_equal_texts(classes, embeddings)
    if groups:
        raise PromptError(
            f"the text encoder {encoder} cannot tell some classes apart",
            expected="classes with different embeddings",
            found=_list_groups(groups),
            hint="It reads their words as the same tokens, as many encoders do with emoji, other "
            "scripts and letter case. Choose other words, or an encoder that knows these.",
        )


def describe_texts(
    texts: Sequence[str], embeddings: Tensor, encoder: TextEncoder
) -> tuple[str, ...]:
    """Notes on prompts with equal embeddings, on words the encoder cannot read or
    only spells.

    Args:
        texts: N distinct prompts.
        embeddings: (N, D) of unit norm.
        encoder: The text encoder.
    """
    notes = []
    groups = find_equal_texts(texts, embeddings)
    if groups:
        notes.append(
            f"the text encoder {encoder.id} cannot tell these texts apart: {_list_groups(groups)}"
        )

    # encoders of other packages need not have it
    find_unknown = getattr(encoder, "unknown_texts", None)
    unknown = find_unknown(texts) if find_unknown is not None else []
    if unknown:
        shown = ", ".join(map(repr, unknown[:_SHOWN]))
        more = f" and {len(unknown) - _SHOWN} more" if len(unknown) > _SHOWN else ""
        notes.append(
            f"the text encoder {encoder.id} has no tokens for a part of {shown}{more}: it reads "
            "them as if that part were any unknown sign"
        )
    # words that are spelled out have embeddings, but no meaning
    find_words = getattr(encoder, "unknown_words", None)
    words = find_words(texts) if find_words is not None else []
    if words:
        more = f" and {len(words) - _SHOWN} more" if len(words) > _SHOWN else ""
        notes.append(
            f"the text encoder {encoder.id} does not know "
            f"{', '.join(map(repr, words[:_SHOWN]))}{more}: it spells them letter by letter, and "
            "answers all the same. Check the spelling, or describe them in words that it knows"
        )
    return tuple(notes)


def warn_of_notes(notes: Iterable[object]) -> None:
    """Show notes as warnings, once each."""
    for note in notes:
        warnings.warn(str(note), Ke2ntWarning, stacklevel=3)


def _list_groups(groups: Sequence[Sequence[str]]) -> str:
    shown = "; ".join(" = ".join(map(repr, group)) for group in groups[:_SHOWN])
    more = len(groups) - _SHOWN
    return f"{shown}; and {more} more groups" if more > 0 else shown
