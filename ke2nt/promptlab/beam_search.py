"""Greedy and beam search for the ensemble of prompts with the best score."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from ke2nt.errors import DataError
from ke2nt.promptlab.scorer import PromptScorer
from ke2nt.runtime.seeding import derive_seed

__all__ = ["Objective", "Step", "score_keys", "select"]

Objective = Literal["uar", "accuracy"]
_MAX_SWEEPS = 20
_Key = tuple[float, float, int]


@dataclass(frozen=True, slots=True)
class Step:
    """One accepted change.

    Attributes:
        block: Index of the block that was chosen anew.
        size: Candidates of that block that are chosen now.
        score: The objective afterwards, on the images searched with.
    """

    block: int
    size: int
    score: float


def select(
    scorer: PromptScorer,
    blocks: Sequence[np.ndarray],
    *,
    beam: int = 1,
    max_size: int = 8,
    objective: Objective = "uar",
    seed: int = 0,
    start: np.ndarray | None = None,
) -> tuple[np.ndarray, list[Step]]:
    """Choose candidates block by block until no block can be improved.

    A block is built up from nothing while the others stay as they are: each round adds every
    candidate to each of the best `beam` partial choices and keeps the best `beam` of the results.
    The best choice of any size replaces the block if it is better than what was there. With
    `beam=1` this is greedy forward selection. Better means a higher objective, then the
    other of UAR and accuracy, then fewer prompts; what is still equal is ordered by the seed, as
    are the blocks.

    Args:
        scorer: Scores masks over P prompts.
        blocks: Each bool (C, P), the prompts of C candidates: a class's prompts one by one, or
            templates that fill all classes at once.
        beam: Partial choices kept in each round.
        max_size: Most candidates of a block.
        objective: "uar" or "accuracy".
        seed: Seed of the order among equals.
        start: bool (P,), where to begin; the choice then never scores below it. Unless given, each
            block begins with all candidates and is chosen anew once, better or not, so that the
            choice keeps to `max_size`.

    Returns:
        bool (P,), the choice, and the steps that led to it.

    Raises:
        DataError: `beam` or `max_size` is below 1, or `start` leaves a class without prompts.
    """
    for name, value in (("beam", beam), ("max_size", max_size)):
        if value < 1:
            raise DataError(f"{name} is out of range", expected="at least 1", found=value)
    rng = np.random.default_rng(derive_seed(seed, "prompt search"))
    current = np.any(np.concatenate(list(blocks)), axis=0) if start is None else start.copy()
    best = score_keys(scorer, current[None], objective)[0]
    steps: list[Step] = []
    order = rng.permutation(len(blocks))
    for sweep in range(_MAX_SWEEPS):
        before = best
        forced = sweep == 0 and start is None
        for index in order:
            block = blocks[index][rng.permutation(len(blocks[index]))]
            others = current & ~block.any(axis=0)
            found, key, size = _grow(scorer, block, others, beam, max_size, objective)
            if forced or key > best:
                current, best = found, key
                steps.append(Step(int(index), size, key[0]))
        if len(blocks) == 1 or (best == before and not forced):
            break
    return current, steps


def _grow(
    scorer: PromptScorer,
    block: np.ndarray,
    others: np.ndarray,
    beam: int,
    max_size: int,
    objective: Objective,
) -> tuple[np.ndarray, _Key, int]:
    """The best choice of a block, its key and its number of candidates."""
    partial: list[frozenset[int]] = [frozenset()]
    top: tuple[np.ndarray, _Key, int] | None = None
    for size in range(1, min(max_size, len(block)) + 1):
        grown = dict.fromkeys(
            done | {c} for done in partial for c in range(len(block)) if c not in done
        )
        choices = list(grown)
        masks = np.stack([others | block[sorted(choice)].any(axis=0) for choice in choices])
        keys = score_keys(scorer, masks, objective)
        ranked = sorted(range(len(keys)), key=lambda i: keys[i], reverse=True)[:beam]
        partial = [choices[i] for i in ranked]
        if top is None or keys[ranked[0]] > top[1]:
            top = masks[ranked[0]], keys[ranked[0]], size
    assert top is not None
    return top


def score_keys(scorer: PromptScorer, masks: np.ndarray, objective: Objective) -> list[_Key]:
    """What makes one ensemble better than another: objective, the other figure, fewer prompts."""
    scores = scorer.score(masks)
    first, second = scores.uar, scores.accuracy
    if objective == "accuracy":
        first, second = second, first
    fewer = -masks.sum(axis=1)
    return list(zip(first.tolist(), second.tolist(), fewer.tolist(), strict=True))
