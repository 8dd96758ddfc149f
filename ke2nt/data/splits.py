"""Parts of splits: a validation part, a share of the labels, classes held out; all from a seed."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Collection
from dataclasses import replace

import numpy as np

from ke2nt.data.sample import FaceSample, FaceSplit
from ke2nt.errors import DataError, LabelError
from ke2nt.runtime.seeding import derive_seed
from ke2nt.runtime.suggest import did_you_mean

__all__ = [
    "carve_validation",
    "hold_out",
    "limit_fraction",
]


_TINY = 1e-12


def carve_validation(split: FaceSplit, fraction: float, seed: int) -> tuple[FaceSplit, FaceSplit]:
    """Divide a split into a training and a validation part, stratified by class.

    No subject is in both parts. Without subjects each class gives its share to within one sample;
    with subjects, whole people are dealt so that every class comes as near its share as it can.
    The result depends on names, labels and subjects, not on the order of the samples.

    Args:
        split: The samples to divide.
        fraction: Share of each class that goes to validation, between 0 and 1.
        seed: Another seed gives another division.

    Returns:
        (train, val), each in the order of `split`.

    Raises:
        DataError: The fraction is out of range, or a class has too few samples or subjects to be
            in both parts.
    """
    if not 0 < fraction < 1:
        raise DataError("the fraction is out of range", expected="between 0 and 1", found=fraction)
    groups: dict[str, Counter[int]] = defaultdict(Counter)
    for sample in split.samples:
        groups[_group(sample)][sample.label] += 1
    _check_enough(split, groups)
    chosen = _choose(groups, fraction, seed)
    inside = [_group(sample) in chosen for sample in split.samples]
    train = split.subset((i for i, held in enumerate(inside) if not held), split="train")
    return train, split.subset((i for i, held in enumerate(inside) if held), split="val")


def limit_fraction(split: FaceSplit, fraction: float, seed: int) -> FaceSplit:
    """A fixed share of each class, at least one sample; a smaller share is part of a larger one.

    Raises:
        DataError: The fraction is not in (0, 1].
    """
    if not 0 < fraction <= 1:
        raise DataError("the fraction is out of range", expected="above 0, up to 1", found=fraction)
    order = _shuffled([sample.name for sample in split.samples], seed, "fraction")
    position = {sample.name: i for i, sample in enumerate(split.samples)}
    of_class: dict[int, list[int]] = defaultdict(list)
    for name in order:
        of_class[split.samples[position[name]].label].append(position[name])
    kept = [i for own in of_class.values() for i in own[: max(1, round(fraction * len(own)))]]
    return split.subset(sorted(kept))


def hold_out(split: FaceSplit, classes: Collection[str]) -> FaceSplit:
    """The split without some classes, their samples left out and the others numbered anew.

    Vote shares are rescaled to the classes that stay; a sample without any vote for these becomes
    one without a distribution.

    Raises:
        LabelError: A class is not in the label set, or none is left.
    """
    for name in classes:
        if name not in split.classes:
            raise LabelError(
                f"cannot hold out {name!r}",
                expected=f"one of {', '.join(split.classes)}",
                hint=did_you_mean(name, split.classes),
            )
    stay = [i for i, name in enumerate(split.classes) if name not in classes]
    if not stay:
        raise LabelError("no class is left to learn", found=f"all of {', '.join(classes)} held out")
    index = {old: new for new, old in enumerate(stay)}
    samples = tuple(
        replace(s, label=index[s.label], distribution=_rescale(s.distribution, stay))
        for s in split.samples
        if s.label in index
    )
    return replace(split, classes=tuple(split.classes[i] for i in stay), samples=samples)


def _group(sample: FaceSample) -> str:
    """What must stay together: a person's images, or rows ("#2") of the same image."""
    if sample.subject is not None:
        return f"subject:{sample.subject}"
    return f"name:{re.sub('#[0-9]+$', '', sample.name)}"


def _check_enough(split: FaceSplit, groups: dict[str, Counter[int]]) -> None:
    holders = Counter(label for counts in groups.values() for label in counts)
    few = [split.classes[label] for label, count in sorted(holders.items()) if count < 2]
    if few or not holders:
        subjects = any(sample.subject is not None for sample in split.samples)
        raise DataError(
            f"too few samples to carve a validation split: {', '.join(few) or 'all classes'}",
            where=f"{split.dataset} {split.split}",
            expected=f"at least two {'subjects' if subjects else 'samples'} in each class",
            hint="Name a validation split, or hold these classes out.",
        )


def _choose(groups: dict[str, Counter[int]], fraction: float, seed: int) -> set[str]:
    """Groups for validation, so that the classes' counts come near their share.

    In random order each group goes where the counts stay nearer to the share of what has been
    dealt (squared distance, each class relative to its size). Then groups change sides as long as
    that helps, and every class that one side lacks gets a group there.
    """
    total: Counter[int] = Counter()
    for counts in groups.values():
        total.update(counts)
    taken: Counter[int] = Counter()

    def change(group: str, goal: Counter[int]) -> float:
        """Change of the squared distance to the share of `goal` if a group changes sides."""
        sign = -1 if group in chosen else 1
        return sum(
            n * (n + sign * 2 * (taken[k] - fraction * goal[k])) / total[k] ** 2
            for k, n in groups[group].items()
        )

    def move(group: str) -> None:
        if group in chosen:
            chosen.remove(group)
            taken.subtract(groups[group])
        else:
            chosen.add(group)
            taken.update(groups[group])

    order = _shuffled(groups, seed, "validation")
    chosen: set[str] = set()
    dealt: Counter[int] = Counter()
    for group in order:
        dealt.update(groups[group])
        if change(group, dealt) < 0:
            move(group)
    while better := [group for group in order if change(group, total) < -_TINY]:
        move(min(better, key=lambda group: change(group, total)))
    for label in sorted(total):
        holders = [group for group in order if label in groups[group]]
        if taken[label] == 0:
            move(min(holders, key=lambda group: change(group, total)))
        elif taken[label] == total[label]:
            spare = [group for group in holders if _can_leave(groups[group], taken)]
            if spare:
                move(min(spare, key=lambda group: change(group, total)))
    if any(not 0 < taken[label] < total[label] for label in total):
        raise DataError(
            "no division of the subjects was found that gives both parts every class",
            hint="Name a validation split, or hold rare classes out.",
        )
    return chosen


def _can_leave(counts: Counter[int], taken: Counter[int]) -> bool:
    return all(taken[label] > n for label, n in counts.items())


def _shuffled(names: Collection[str], seed: int, purpose: str) -> list[str]:
    ordered = sorted(names)
    rng = np.random.default_rng(derive_seed(seed, purpose))
    return [ordered[i] for i in rng.permutation(len(ordered))]


def _rescale(shares: tuple[float, ...] | None, stay: list[int]) -> tuple[float, ...] | None:
    if shares is None:
        return None
    kept = [shares[i] for i in stay]
    return tuple(share / sum(kept) for share in kept) if sum(kept) > 0 else None
