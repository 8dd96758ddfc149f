"""Parts of splits: a validation split, a share or a number of the labels, classes held out."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Collection
from dataclasses import replace

from ke2nt.data.sample import FaceSample, FaceSplit
from ke2nt.data.stratify import Groups, choose_groups, shuffled
from ke2nt.errors import DataError, LabelError
from ke2nt.runtime.suggest import did_you_mean

__all__ = ["carve_validation", "draw_shots", "hold_out", "limit_fraction"]


def carve_validation(split: FaceSplit, fraction: float, seed: int) -> tuple[FaceSplit, FaceSplit]:
    """Divide a split into a training and a validation split, stratified by class.

    No subject is in both. Without subjects each class gives its share to within one sample; with
    subjects, whole people are dealt so that every class comes as near its share as it can. The
    result depends on names, labels and subjects, not on the order of the samples.

    Args:
        split: The samples to divide.
        fraction: Share of each class that goes to validation, between 0 and 1.
        seed: Seed of the division.

    Returns:
        (train, val), each in the order of `split`.

    Raises:
        DataError: The fraction is out of range, or a class has too few samples or subjects to be
            in both.
    """
    if not 0 < fraction < 1:
        raise DataError("the fraction is out of range", expected="between 0 and 1", found=fraction)

    groups: Groups = defaultdict(Counter)
    for sample in split.samples:
        groups[_group_name(sample)][sample.label] += 1
    _check_group_counts(split, groups)

    chosen = choose_groups(groups, fraction, seed)
    in_val = [_group_name(sample) in chosen for sample in split.samples]
    train = split.subset((i for i, held in enumerate(in_val) if not held), split="train")
    val = split.subset((i for i, held in enumerate(in_val) if held), split="val")
    return train, val


def limit_fraction(split: FaceSplit, fraction: float, seed: int) -> FaceSplit:
    """A fixed share of each class, at least one sample; a smaller share is part of a larger one.

    Raises:
        DataError: The fraction is not in (0, 1].
    """
    if not 0 < fraction <= 1:
        raise DataError("the fraction is out of range", expected="above 0, up to 1", found=fraction)

    # Class → positions, in one random order for all fractions
    position = {sample.name: i for i, sample in enumerate(split.samples)}
    by_class: dict[int, list[int]] = defaultdict(list)
    for name in shuffled(position, seed, "fraction"):
        by_class[split.samples[position[name]].label].append(position[name])

    # the first of each class in that order
    kept: list[int] = []
    for positions in by_class.values():
        kept += positions[: max(1, round(fraction * len(positions)))]
    return split.subset(sorted(kept))


def draw_shots(split: FaceSplit, shots: int, seed: int, *, fewer: bool = False) -> FaceSplit:
    """Draw the same number of samples of each class; fewer shots are part of more.

    The result depends on names, labels and the seed, not on the order of the samples.

    Args:
        split: The samples to draw from.
        shots: Samples of each class, at least 1.
        seed: Seed of the draw.
        fewer: Take all samples of a class that has fewer, instead of raising an error.

    Returns:
        The drawn samples, in the order of `split`.

    Raises:
        DataError: The number is below 1, or a class has fewer samples.
    """
    if shots < 1:
        raise DataError("the number of shots is out of range", expected="1 or more", found=shots)
    counts = Counter(sample.label for sample in split.samples)
    short = [k for k in range(len(split.classes)) if counts[k] < shots]
    if short and not fewer:
        raise DataError(
            f"too few samples for {shots} shot{'s' if shots > 1 else ''}",
            where=f"{split.dataset} {split.split}",
            expected=f"{shots} or more of each class",
            found=", ".join(f"{split.classes[k]} {counts[k]}" for k in short),
            hint="Use fewer shots, or hold these classes out.",
        )

    # names are unique in a split, so their order decides the draw alone
    position = {sample.name: i for i, sample in enumerate(split.samples)}
    taken: Counter[int] = Counter()
    drawn: list[int] = []
    for name in shuffled(position, seed, "shots"):
        label = split.samples[position[name]].label
        if taken[label] < shots:
            taken[label] += 1
            drawn.append(position[name])
    return split.subset(sorted(drawn))


def hold_out(split: FaceSplit, classes: Collection[str]) -> FaceSplit:
    """The split without some classes: their samples left out and the others renumbered.

    Label distributions are rescaled to the remaining classes; a sample without a vote for any of
    them loses its distribution.

    Raises:
        LabelError: A class is not in the label set, or none remains.
    """
    for name in classes:
        if name not in split.classes:
            raise LabelError(
                f"cannot hold out {name!r}",
                expected=f"one of {', '.join(split.classes)}",
                hint=did_you_mean(name, split.classes),
            )

    # Remaining class indices, and old index → new index
    remaining = [i for i, name in enumerate(split.classes) if name not in classes]
    if not remaining:
        raise LabelError("no class is left to learn", found=f"all of {', '.join(classes)} held out")
    new_index = {old: new for new, old in enumerate(remaining)}

    samples = tuple(
        replace(
            sample,
            label=new_index[sample.label],
            distribution=_rescale(sample.distribution, remaining),
        )
        for sample in split.samples
        if sample.label in new_index
    )
    return replace(split, classes=tuple(split.classes[i] for i in remaining), samples=samples)


def _group_name(sample: FaceSample) -> str:
    """What must stay together: a person's images, or rows ("#2") of the same image."""
    if sample.subject is not None:
        return f"subject:{sample.subject}"
    return f"name:{re.sub('#[0-9]+$', '', sample.name)}"


def _check_group_counts(split: FaceSplit, groups: Groups) -> None:
    """Raise DataError unless every class is in two groups or more."""
    group_counts = Counter(label for counts in groups.values() for label in counts)
    rare = [split.classes[label] for label, count in sorted(group_counts.items()) if count < 2]
    if rare or not group_counts:
        has_subjects = any(sample.subject is not None for sample in split.samples)
        raise DataError(
            f"too few samples to split off validation data: {', '.join(rare) or 'all classes'}",
            where=f"{split.dataset} {split.split}",
            expected=f"at least two {'subjects' if has_subjects else 'samples'} in each class",
            hint="Name a validation split, or hold these classes out.",
        )


def _rescale(
    distribution: tuple[float, ...] | None, remaining: list[int]
) -> tuple[float, ...] | None:
    if distribution is None:
        return None
    kept = [distribution[i] for i in remaining]
    return tuple(share / sum(kept) for share in kept) if sum(kept) > 0 else None
