"""Choose whole groups of samples so that every class comes near a given share."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable

import numpy as np

from ke2nt.errors import DataError
from ke2nt.runtime.seeding import derive_seed

__all__ = ["Groups", "choose_groups", "shuffled"]

Groups = dict[str, Counter[int]]
"""Group → class index → samples."""

_TINY = 1e-12


def choose_groups(groups: Groups, fraction: float, seed: int) -> set[str]:
    """Choose groups that hold about a fraction of each class.

    In random order each group goes where the counts stay nearer to the share of what has been
    dealt (squared distance, each class relative to its size). Then groups change sides as long as
    that helps, and every class that one side lacks gets a group there.

    Args:
        groups: Samples per class of each group.
        fraction: Share of each class, between 0 and 1.
        seed: Seed of the order.

    Raises:
        DataError: No division gives both sides every class.
    """
    order = shuffled(groups, seed, "validation")
    division = _Division(groups, fraction)

    # Deal the groups one by one
    dealt: Counter[int] = Counter()
    for group in order:
        dealt.update(groups[group])
        if division.change(group, dealt) < 0:
            division.move(group)

    # Move the group that helps most, until none helps
    while helpful := [group for group in order if division.change(group) < -_TINY]:
        division.move(min(helpful, key=division.change))

    # A class on one side only cannot be measured, or cannot be learned
    for label in sorted(division.total):
        division.fill_lack(label, order)
    if any(not division.has_both(label) for label in division.total):
        raise DataError(
            "no division of the subjects was found that gives both parts every class",
            hint="Name a validation split, or hold rare classes out.",
        )
    return division.chosen


def shuffled(names: Iterable[str], seed: int, purpose: str) -> list[str]:
    """Names in a random order that depends on the names, the seed and the purpose only."""
    ordered = sorted(names)
    rng = np.random.default_rng(derive_seed(seed, purpose))
    return [ordered[i] for i in rng.permutation(len(ordered))]


class _Division:
    """Groups on two sides, and how many samples of each class are on the chosen side."""

    def __init__(self, groups: Groups, fraction: float) -> None:
        self.groups = groups
        self.fraction = fraction
        # what is on the chosen side, and its samples per class
        self.chosen: set[str] = set()
        self.taken: Counter[int] = Counter()
        self.total: Counter[int] = Counter()
        for counts in groups.values():
            self.total.update(counts)

    def change(self, group: str, goal: Counter[int] | None = None) -> float:
        """Change of the squared distance to the share of `goal` if a group changes sides.

        Args:
            group: The group.
            goal: Samples per class to take the share of; all of them by default.
        """
        goal = self.total if goal is None else goal
        # (taken ± n − goal)² − (taken − goal)², each class relative to its size
        sign = -1 if group in self.chosen else 1
        return sum(
            n * (n + sign * 2 * (self.taken[k] - self.fraction * goal[k])) / self.total[k] ** 2
            for k, n in self.groups[group].items()
        )

    def move(self, group: str) -> None:
        """Put a group on the other side."""
        if group in self.chosen:
            self.chosen.remove(group)
            self.taken.subtract(self.groups[group])
        else:
            self.chosen.add(group)
            self.taken.update(self.groups[group])

    def has_both(self, label: int) -> bool:
        """Whether a class is on both sides."""
        return 0 < self.taken[label] < self.total[label]

    def fill_lack(self, label: int, order: Collection[str]) -> None:
        """Move a group to the side that lacks a class, if one can leave the other side."""
        holders = [group for group in order if label in self.groups[group]]
        if self.taken[label] == 0:
            self.move(min(holders, key=self.change))
        elif self.taken[label] == self.total[label]:
            spare = [group for group in holders if self._can_leave(group)]
            if spare:
                self.move(min(spare, key=self.change))

    def _can_leave(self, group: str) -> bool:
        """Whether the chosen side keeps every class without a group."""
        return all(self.taken[label] > n for label, n in self.groups[group].items())
