"""Learnable context vectors in the prompts of K classes."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from ke2nt.errors import ConfigError
from ke2nt.prompt_learning.options import DEFAULT_CONTEXT, ContextOptions, Position
from ke2nt.runtime.l2_normalize import l2_normalize
from ke2nt.runtime.seeding import torch_generator
from ke2nt.vlm.prompt_tower import PromptTower

__all__ = ["Context", "divide_context"]

_INIT_STD = 0.02  # of random vectors, as in CoOp


class Context(nn.Module):
    """The vectors, and the class embeddings that the text tower makes of them.

    Args:
        tower: The text tower.
        words: K class words.
        options: Number of vectors, their position and their start.

    Attributes:
        vectors: (1, M, W), or (K, M, W) if each class has its own.

    Raises:
        ConfigError: The context is longer than the tower reads, or the words to start from have
            another number of tokens.
        PromptError: A prompt is longer than the tower reads.
    """

    def __init__(self, tower: PromptTower, words: Sequence[str], options: ContextOptions) -> None:
        super().__init__()
        start = _initial_vectors(tower, options)
        count = len(words) if options.class_specific else 1
        if options.init is None and options.class_specific:
            start = _random_vectors(tower, start.shape[1], count, options.seed)
        self.vectors = nn.Parameter(start.expand(count, -1, -1).clone())

        before, after = divide_context(start.shape[1], options.position)
        parts: list[list[str | int]] = [[before, f" {word}", after, "."] for word in words]
        names = [f"{start.shape[1]} vectors and {word!r}" for word in words]
        self._prompts = tower.place([[p for p in row if p != 0] for row in parts], names=names)
        self._tower = tower
        self._words = len(words)

    def forward(self) -> Tensor:
        """Return the class embeddings (K, D) of unit norm."""
        # (K, M, W) → one row for each slot, in the order of the classes
        vectors = self.vectors.expand(self._words, -1, -1).flatten(0, 1)
        return l2_normalize(self._tower.encode_slotted(self._prompts, vectors).float())


def divide_context(count: int, position: Position) -> tuple[int, int]:
    """Return how many of the vectors stand before and after the class word."""
    before = {"end": count, "middle": count // 2, "front": 0}[position]
    return before, count - before


def _initial_vectors(tower: PromptTower, options: ContextOptions) -> Tensor:
    """(1, M, W): the token embeddings of some words, or small random numbers."""
    if options.init is None:
        count = options.context or DEFAULT_CONTEXT
        _check_length(count, tower)
        return _random_vectors(tower, count, 1, options.seed)

    # as many vectors as the words have tokens
    tokens = tower.plain_ids(options.init)
    if options.context not in (None, len(tokens)):
        raise ConfigError(
            f"{options.init!r} and the length of the context do not agree",
            expected=f"{len(tokens)} vectors, one for each token of these words",
            found=options.context,
            hint=f"Type --context {len(tokens)}, or other words after --init.",
        )
    _check_length(len(tokens), tower)
    return tower.vocabulary[tokens].float()[None]


def _random_vectors(tower: PromptTower, count: int, contexts: int, seed: int) -> Tensor:
    generator = torch_generator(seed, "context vectors")
    noise = torch.randn(contexts, count, tower.width, generator=generator)
    return (_INIT_STD * noise).to(tower.device)


def _check_length(count: int, tower: PromptTower) -> None:
    # start, end and one token of the class must fit, too
    if count > tower.limit - 3:
        raise ConfigError(
            f"the context is longer than {tower.encoder} reads",
            expected=f"at most {tower.limit - 3} vectors, with a class word after them",
            found=count,
            hint="Type a smaller number after --context.",
        )
