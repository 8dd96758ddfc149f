"""A learned context as a prompt set, and its files."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ke2nt.labels import NEUTRAL
from ke2nt.prompt_learning.context import divide_context
from ke2nt.prompt_learning.learn import LearnedContext
from ke2nt.prompt_learning.options import Position
from ke2nt.prompts.learned_vectors import LearnedVectors, find_vectors, mark, register
from ke2nt.prompts.prompt_set import PromptSet
from ke2nt.prompts.vector_files import write_vectors
from ke2nt.runtime.atomic import write_text
from ke2nt.vlm.base import Fingerprint
from ke2nt.vlm.prompt_tower import PromptTower

__all__ = ["build_learned_set", "class_words", "find_nearest_words", "write_learned_set"]

_NEAREST = 3
_CHUNK = 8192  # rows of the vocabulary whose distances are computed at once


def class_words(prompts: PromptSet) -> dict[str, str]:
    """Return the word of each class of a written set: its first one, or else the class name."""
    return {
        name: words[0] if words else name.replace("_", " ")
        for name, words in prompts.classes.items()
    }


def build_learned_set(
    context: LearnedContext,
    written: PromptSet,
    encoder: str,
    fingerprint: Fingerprint,
    tower: PromptTower,
    *,
    position: Position,
    class_specific: bool,
    name: str = "learned",
    training: Mapping[str, Any] | None = None,
) -> PromptSet:
    """Build the prompt set of a learned context, and make its vectors known to this process.

    Args:
        context: What was learned.
        written: The set whose words were learned with, in the order of the classes.
        encoder: Id of the encoder.
        fingerprint: Its digests.
        tower: Its text tower.
        position: Where the class word stands.
        class_specific: Whether each class has vectors of its own.
        name: Name of the new set.
        training: How the vectors were learned, plain JSON.
    """
    digests = [
        register(
            LearnedVectors(values.numpy(), encoder, fingerprint.weights, fingerprint.tokenizer)
        )
        for values in context.vectors
    ]
    words = class_words(written)
    templates = [_template(digest, context.vectors.shape[1], position) for digest in digests]

    # one context fits any word; one for each class fits its own alone
    if class_specific:
        sentences = {
            class_name: [template.replace("{class}", words[class_name])]
            for class_name, template in zip(words, templates, strict=True)
        }
        prompts: dict[str, Any] = {"classes": dict.fromkeys(words, ()), "descriptions": sentences}
    else:
        classes = {class_name: [word] for class_name, word in words.items()}
        prompts = {"templates": templates, "classes": classes}

    return PromptSet(
        name=name,
        description=f"Context vectors learned for {encoder}.",
        source="ke2nt prompts learn",
        **prompts,
        anchor=_anchor(written, class_specific),
        learned={
            "encoder": encoder,
            "weights": fingerprint.weights,
            "tokenizer": fingerprint.tokenizer,
            "vectors": f"{name}-{digests[0]}.safetensors",
            "class_specific": class_specific,
            "nearest": {
                digest: find_nearest_words(values, tower)
                for digest, values in zip(digests, context.vectors, strict=True)
            },
            "training": dict(training or {}),
        },
    )


def find_nearest_words(vectors: Tensor, tower: PromptTower) -> list[dict[str, float]]:
    """Find the words of the vocabulary whose embeddings are nearest to each of M vectors (M, W).

    Returns:
        For each vector, word → Euclidean distance, the nearest first.
    """
    # (M, V), computed in pieces of the vocabulary
    table = tower.vocabulary
    pieces = [torch.cdist(vectors.to(piece), piece) for piece in table.split(_CHUNK)]
    distances, tokens = torch.cat(pieces, dim=1).sort(dim=1)

    nearest: list[dict[str, float]] = []
    for row in range(len(vectors)):
        words: dict[str, float] = {}
        # a word has a token with and one without a space after it
        for distance, token in zip(distances[row].tolist(), tokens[row].tolist(), strict=True):
            words.setdefault(tower.token_text(token).strip() or f"<{token}>", round(distance, 4))
            if len(words) == _NEAREST:
                break
        nearest.append(words)
    return nearest


def write_learned_set(folder: Path, prompts: PromptSet) -> list[str]:
    """Write a learned set as NAME.yaml and its vectors; return the names of the files.

    The vectors' file is named by their digest, so that an older set of the same name stays whole
    until the new YAML replaces it.
    """
    assert prompts.learned is not None
    path = folder / f"{prompts.name}.yaml"
    replaced = _vector_file(path)

    contexts = [find_vectors(digest) for digest in prompts.learned.nearest]
    target = folder / prompts.learned.vectors
    try:
        write_vectors(target, [context for context in contexts if context is not None])
        write_text(path, prompts.to_yaml())
    except BaseException:
        # an interrupted command leaves nothing, unless these are the vectors of the older set
        if replaced != target:
            target.unlink(missing_ok=True)
        raise
    if replaced is not None and replaced != target:
        replaced.unlink(missing_ok=True)
    return [path.name, target.name]


def _vector_file(path: Path) -> Path | None:
    """The vectors of the learned set in a file that is about to be replaced, if there are any."""
    from ke2nt.errors import PromptError

    try:
        learned = PromptSet.load(path).learned if path.is_file() else None
    except PromptError:
        return None
    return None if learned is None else path.parent / learned.vectors


def _template(digest: str, count: int, position: Position) -> str:
    before, after = divide_context(count, position)
    parts = [mark(digest, 1, before)] if before else []
    parts.append("{class}")
    if after:
        parts.append(mark(digest, before + 1, count))
    return " ".join(parts) + "."


def _anchor(written: PromptSet, class_specific: bool) -> Any:
    """The neutral anchor: a class, "neutral" in the learned context, or the written prompts."""
    if isinstance(written.anchor, str) and written.anchor in written.classes:
        return written.anchor
    return list(written.render_anchor()) if class_specific else NEUTRAL
