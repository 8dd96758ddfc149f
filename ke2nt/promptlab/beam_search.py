"""Greedy and beam search for the ensemble of prompts with the best score."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from ke2nt.errors import DataError
from ke2nt.promptlab.options import Objective
from ke2nt.promptlab.scorer import PromptScorer
from ke2nt.runtime.seeding import derive_seed

__all__ = ["Step", "compute_sort_keys", "select_ensemble"]

SortKey = tuple[float, float, int]
_MAX_SWEEPS = 20


@dataclass(frozen=True, slots=True)
class Step:
    """One accepted change.

    Attributes:
        block: Index of the block that was chosen again.
        size: Number of candidates of that block that are now chosen.
        score: The objective after the change, on the images searched with.
    """

    block: int
    size: int
    score: float


def select_ensemble(
    scorer: PromptScorer,
    blocks: Sequence[np.ndarray],
    *,
    beam: int = 1,
    max_size: int = 8,
    objective: Objective = "uar",
    seed: int = 0,
    start: np.ndarray | None = None,
    after_block: Callable[[], None] | None = None,
) -> tuple[np.ndarray, list[Step]]:
    """Choose candidates block by block until no block can be improved.

    A block is built up from nothing while the others stay unchanged: each round adds every
    candidate to each of the best `beam` partial ensembles and keeps the best `beam` of the results.
    The best choice of any size replaces the block if it improves on the current one. With `beam=1`,
    this is greedy forward selection. Better means a higher objective, then the other of UAR and
    accuracy, then fewer prompts; remaining ties and the order of the blocks depend on the seed.

    Args:
        scorer: Scores masks over P prompts.
        blocks: Each bool (C, P), the prompts of C candidates: a class's prompts one by one, or
            templates that fill all classes at once.
        beam: Partial ensembles kept in each round.
        max_size: Maximum candidates of a block.
        objective: "uar" or "accuracy".
        seed: Seed of the order among ties.
        start: bool (P,), the ensemble to start from; the result never scores below it. Unless
            given, each block starts with all candidates and is chosen again once, better or not, so
            that the result keeps to `max_size`.
        after_block: Called when a block was searched, for progress.

    Returns:
        bool (P,), the ensemble, and the steps that led to it.

    Raises:
        DataError: `beam` or `max_size` is below 1, or `start` leaves a class without prompts.
    """
    for name, value in (("beam", beam), ("max_size", max_size)):
        if value < 1:
            raise DataError(f"{name} is out of range", expected="at least 1", found=value)
    builder = _BlockBuilder(scorer, beam, max_size, objective)
    rng = np.random.default_rng(derive_seed(seed, "prompt search"))

    current = np.any(np.concatenate(list(blocks)), axis=0) if start is None else start.copy()
    current_key = compute_sort_keys(scorer, current[None], objective)[0]
    steps: list[Step] = []
    order = rng.permutation(len(blocks))

    for sweep in range(_MAX_SWEEPS):
        key_before = current_key
        forced = sweep == 0 and start is None
        for index in order:
            block = blocks[index][rng.permutation(len(blocks[index]))]
            others = current & ~block.any(axis=0)
            best = builder.build(block, others)
            if forced or best.key > current_key:
                current, current_key = best.mask, best.key
                steps.append(Step(int(index), best.size, best.key[0]))
            if after_block is not None:
                after_block()

        # A single block does not depend on others; a sweep without change is the end.
        if len(blocks) == 1 or (current_key == key_before and not forced):
            break
    return current, steps


def compute_sort_keys(
    scorer: PromptScorer, masks: np.ndarray, objective: Objective
) -> list[SortKey]:
    """Rank ensembles by objective, then the other metric, then fewer prompts; higher is better."""
    scores = scorer.score(masks)
    first, second = scores.uar, scores.accuracy
    if objective == "accuracy":
        first, second = second, first
    fewer = -masks.sum(axis=1)
    return list(zip(first.tolist(), second.tolist(), fewer.tolist(), strict=True))


@dataclass(frozen=True, slots=True, eq=False)
class _Choice:
    """An ensemble, bool (P,), its sort key, and how many candidates of the block it has."""

    mask: np.ndarray
    key: SortKey
    size: int


@dataclass(frozen=True, slots=True)
class _BlockBuilder:
    """Builds up one block by beam search."""

    scorer: PromptScorer
    beam: int
    max_size: int
    objective: Objective

    def build(self, block: np.ndarray, others: np.ndarray) -> _Choice:
        """Find the best choice of a block's candidates (C, P), added to the prompts `others`."""
        best: _Choice | None = None
        partial: list[frozenset[int]] = [frozenset()]

        for size in range(1, min(self.max_size, len(block)) + 1):
            choices = _grow(partial, len(block))
            masks = np.stack([others | block[sorted(choice)].any(axis=0) for choice in choices])
            keys = compute_sort_keys(self.scorer, masks, self.objective)

            # Stable: ties keep the order of the block, which was shuffled by the seed.
            ranked = sorted(range(len(keys)), key=lambda i: keys[i], reverse=True)[: self.beam]
            partial = [choices[i] for i in ranked]
            top = ranked[0]
            if best is None or keys[top] > best.key:
                best = _Choice(masks[top], keys[top], size)

        assert best is not None  # max_size is at least 1, and no block is empty
        return best


def _grow(partial: Sequence[frozenset[int]], num_candidates: int) -> list[frozenset[int]]:
    """Add each candidate to each partial choice that lacks it; without duplicates, in order."""
    grown: dict[frozenset[int], None] = {}
    for choice in partial:
        for candidate in range(num_candidates):
            if candidate not in choice:
                grown[choice | {candidate}] = None
    return list(grown)
