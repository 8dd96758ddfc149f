"""Metrics of each group of people, and the gaps between the groups."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from ke2nt.data.sample import FaceSplit
from ke2nt.errors import DataError
from ke2nt.evaluation.metrics import Interval, percentile_interval
from ke2nt.evaluation.predictions import Predictions
from ke2nt.evaluation.rates import bootstrap_confusions, confusion_matrix, rates
from ke2nt.runtime.seeding import derive_seed

__all__ = ["GroupMetrics", "GroupReport", "check_group_attribute", "group_report"]

MAX_GROUPS = 30
MIN_CLASS_IMAGES = 5  # images of a class that a group needs to be compared in it


@dataclass(frozen=True, slots=True)
class GroupMetrics:
    """Metrics of one group, in [0, 1].

    Attributes:
        name: Value of the attribute.
        n: Number of images.
        accuracy: Share of correct predictions.
        uar: Mean recall over the classes that the group has.
        accuracy_interval: 95 % bootstrap interval.
        uar_interval: 95 % bootstrap interval.
        compared: Whether the group is large enough to count in the gaps.
    """

    name: str
    n: int
    accuracy: float
    uar: float
    accuracy_interval: Interval | None
    uar_interval: Interval | None
    compared: bool


@dataclass(frozen=True, slots=True)
class GroupReport:
    """Groups by one attribute; gaps are over the groups of at least `smallest` images.

    Attributes:
        attribute: Name of the attribute.
        groups: One entry per value, in alphabetical order.
        smallest: Images that a group needs to count in the gaps.
        unknown: Number of images without a value; they are in no group.
        best: Group with the highest accuracy; None with fewer than two groups to compare.
        worst: Group with the lowest accuracy.
        gap: Difference between their accuracies.
        gap_interval: 95 % bootstrap interval of the difference between the highest and the lowest
            accuracy. It is never below 0, and therefore too high if the groups are equally good.
        uar_gap: Difference between the highest and the lowest UAR.
        odds: Class → equalized-odds difference: the larger of the largest difference in recall and
            the largest difference in false-alarm rate between two groups (Hardt, Price and Srebro,
            NIPS 2016, for one class against the rest). Groups with fewer than 5 images of the class
            are left out; a class counts if at least two groups are left.
    """

    attribute: str
    groups: tuple[GroupMetrics, ...]
    smallest: int
    unknown: int
    best: str | None
    worst: str | None
    gap: float | None
    gap_interval: Interval | None
    uar_gap: float | None
    odds: Mapping[str, float]

    def to_dict(self) -> dict[str, Any]:
        """Return a plain JSON value."""
        return {**asdict(self), "odds": dict(self.odds)}


def check_group_attribute(split: FaceSplit, attribute: str) -> None:
    """Check that the faces of a split can be grouped by an attribute.

    Raises:
        DataError: No face has the attribute, or it has more than 30 values.
    """
    values = {sample.attributes.get(attribute) or None for sample in split.samples} - {None}
    if not 1 <= len(values) <= MAX_GROUPS:
        attributes = sorted({key for sample in split.samples for key in sample.attributes})
        raise DataError(
            f"the faces cannot be grouped by {attribute!r}",
            expected=f"an attribute of 1 to {MAX_GROUPS} values; "
            f"these faces have {', '.join(attributes) or 'no attributes'}",
            found=f"{len(values)} values",
        )


def group_report(
    predictions: Predictions,
    split: FaceSplit,
    attribute: str,
    *,
    smallest: int = 20,
    bootstrap: int = 1000,
    seed: int = 0,
) -> GroupReport:
    """Compute the metrics of each group of people.

    Args:
        predictions: Scored predictions, labels in the model's label set.
        split: The faces with their attributes; looked up by name.
        attribute: Attribute to group by.
        smallest: Images that a group needs to count in the gaps.
        bootstrap: Resamples of each group for the intervals; 0 for none.
        seed: Seed of the resamples.

    Raises:
        DataError: No face has the attribute, or it has more than 30 values.
    """
    check_group_attribute(split, attribute)
    by_name = {sample.name: sample.attributes.get(attribute) for sample in split.samples}
    values = [by_name.get(name) or None for name in predictions.names]

    # A confusion matrix for each group is all that the metrics and their resamples need.
    counted = []
    for name in sorted({value for value in values if value is not None}):
        group_seed = derive_seed(seed, "group", attribute, name)
        counted.append(_count_group(predictions, values, name, bootstrap, group_seed))
    groups = tuple(_compute_group_metrics(group, smallest) for group in counted)

    # Small groups are reported, but do not count in the gaps.
    compared = [group for group, metrics in zip(counted, groups, strict=True) if metrics.compared]
    return GroupReport(
        attribute=attribute,
        groups=groups,
        smallest=smallest,
        unknown=values.count(None),
        odds=_equalized_odds([group.confusion for group in compared], predictions.classes),
        **_compute_gaps(groups, compared),
    )


@dataclass(frozen=True, slots=True, eq=False)
class _CountedGroup:
    """A group's confusion matrix (K, K), and resamples of it (B, K, K), B may be 0."""

    name: str
    confusion: np.ndarray
    resampled: np.ndarray


def _count_group(
    predictions: Predictions,
    values: Sequence[str | None],
    name: str,
    bootstrap: int,
    seed: int,
) -> _CountedGroup:
    # bool (N,)
    members = np.array([value == name for value in values])
    predicted = predictions.probabilities[members].argmax(axis=1)
    confusion = confusion_matrix(predictions.labels[members], predicted, len(predictions.classes))
    return _CountedGroup(name, confusion, bootstrap_confusions(confusion, bootstrap, seed))


def _compute_group_metrics(group: _CountedGroup, smallest: int) -> GroupMetrics:
    # Metrics of the group, and their spread over its resamples.
    point, n = rates(group.confusion), int(group.confusion.sum())
    spread = rates(group.resampled) if len(group.resampled) else None

    return GroupMetrics(
        name=group.name,
        n=n,
        accuracy=float(point.accuracy),
        uar=float(point.uar),
        accuracy_interval=None if spread is None else percentile_interval(spread.accuracy),
        uar_interval=None if spread is None else percentile_interval(spread.uar),
        compared=n >= smallest,
    )


def _compute_gaps(
    groups: Sequence[GroupMetrics], compared: Sequence[_CountedGroup]
) -> dict[str, Any]:
    """Fields of `GroupReport` on the best and the worst group, None with fewer than two."""
    names = ("best", "worst", "gap", "gap_interval", "uar_gap")
    if len(compared) < 2:
        return dict.fromkeys(names)

    # Of equally good groups, the order of names decides.
    ranked = sorted((group for group in groups if group.compared), key=lambda group: group.accuracy)
    worst, best = ranked[0], ranked[-1]

    interval = None
    if len(compared[0].resampled):
        # (groups, resamples)
        accuracies = np.stack([rates(group.resampled).accuracy for group in compared])
        interval = percentile_interval(np.ptp(accuracies, axis=0))

    uar_gap = float(np.ptp([group.uar for group in ranked]))
    gaps = (best.name, worst.name, best.accuracy - worst.accuracy, interval, uar_gap)
    return dict(zip(names, gaps, strict=True))


def _equalized_odds(confusions: Sequence[np.ndarray], classes: Sequence[str]) -> dict[str, float]:
    """Equalized-odds difference of each class that at least two groups have enough images of."""
    differences = {}
    for k, name in enumerate(classes):
        comparable = [c for c in confusions if c[k].sum() >= MIN_CLASS_IMAGES]
        if len(comparable) < 2:
            continue

        # Recall, and false alarms: images of other classes that were predicted as this one.
        recalls = [confusion[k, k] / confusion[k].sum() for confusion in comparable]
        other_rows = [np.delete(confusion, k, axis=0) for confusion in comparable]
        false_alarms = [rows[:, k].sum() / max(rows.sum(), 1) for rows in other_rows]
        differences[name] = float(max(np.ptp(recalls), np.ptp(false_alarms)))
    return differences
