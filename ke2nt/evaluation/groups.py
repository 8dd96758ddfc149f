"""The same metrics for each group of people, and how far the groups are apart."""

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

MOST_GROUPS = 30
LEAST_OF_CLASS = 5  # images of a class that a group needs to be compared in it


@dataclass(frozen=True, slots=True)
class GroupMetrics:
    """Metrics of one group, in [0, 1].

    Attributes:
        name: Value of the attribute.
        n: Its images.
        accuracy: Share of right answers.
        uar: Mean recall over the classes that the group has.
        accuracy_interval: 95 % bootstrap interval.
        uar_interval: Likewise.
        compared: Whether the group is large enough to take part in the gaps.
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
        attribute: Its name.
        groups: One entry a value, in alphabetical order.
        smallest: Images that a group needs to take part in the gaps.
        unknown: Images whose value is not known; they are in no group.
        best: Group of the highest accuracy; None with fewer than two groups to compare.
        worst: Group of the lowest accuracy.
        gap: Difference of their accuracies.
        gap_interval: 95 % bootstrap interval of the difference between the highest and the lowest
            accuracy; never below 0, and so too high where the groups are alike.
        uar_gap: Difference between the highest and the lowest UAR.
        odds: Class → equalized-odds difference: the larger of the largest difference of recall and
            the largest difference of false-alarm rate between two groups (Hardt, Price and Srebro,
            NIPS 2016, for one class against the rest). Groups with fewer than 5 images of the class
            are left out; a class counts where at least two are left.
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
        """Plain JSON value."""
        return {**asdict(self), "odds": dict(self.odds)}


def check_group_attribute(split: FaceSplit, attribute: str) -> None:
    """Make sure that the faces of a split can be grouped by an attribute.

    Raises:
        DataError: No face has it, or it has more values than groups make sense.
    """
    values = {sample.attributes.get(attribute) or None for sample in split.samples} - {None}
    if not 1 <= len(values) <= MOST_GROUPS:
        known = sorted({key for sample in split.samples for key in sample.attributes})
        raise DataError(
            f"the faces cannot be grouped by {attribute!r}",
            expected=f"an attribute of 1 to {MOST_GROUPS} values; "
            f"these faces have {', '.join(known) or 'no attributes'}",
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
    """Metrics of each group of people.

    Args:
        predictions: Scored predictions, labels in the model's label set.
        split: The faces, with their attributes; found by their names.
        attribute: Which attribute.
        smallest: Images that a group needs to take part in the gaps.
        bootstrap: Resamples of each group for the intervals; 0 for none.
        seed: Seed of the resamples.

    Raises:
        DataError: No face has the attribute, or it has more values than groups make sense.
    """
    check_group_attribute(split, attribute)
    values = {sample.name: sample.attributes.get(attribute) for sample in split.samples}
    own = [values.get(name) or None for name in predictions.names]
    names = sorted({value for value in own if value is not None})
    classes = len(predictions.classes)
    guess = predictions.probabilities.argmax(axis=1)
    chosen = [np.array([value == name for value in own]) for name in names]
    tables = [confusion_matrix(predictions.labels[m], guess[m], classes) for m in chosen]
    drawn = [
        bootstrap_confusions(table, bootstrap, derive_seed(seed, "group", attribute, name))
        for name, table in zip(names, tables, strict=True)
    ]
    groups = tuple(
        _figures(name, table, resampled, smallest)
        for name, table, resampled in zip(names, tables, drawn, strict=True)
    )
    compared = [i for i, group in enumerate(groups) if group.compared]
    ranked = sorted((groups[i] for i in compared), key=lambda group: group.accuracy)
    several = len(compared) > 1
    spread = None
    if several and bootstrap:
        accuracies = np.stack([rates(drawn[i]).accuracy for i in compared])
        spread = percentile_interval(np.ptp(accuracies, axis=0))
    return GroupReport(
        attribute=attribute,
        groups=groups,
        smallest=smallest,
        unknown=own.count(None),
        best=ranked[-1].name if several else None,
        worst=ranked[0].name if several else None,
        gap=ranked[-1].accuracy - ranked[0].accuracy if several else None,
        gap_interval=spread,
        uar_gap=float(np.ptp([group.uar for group in ranked])) if several else None,
        odds=_odds([tables[i] for i in compared], predictions.classes),
    )


def _figures(name: str, table: np.ndarray, drawn: np.ndarray, smallest: int) -> GroupMetrics:
    point, n = rates(table), int(table.sum())
    spread = rates(drawn) if len(drawn) else None
    return GroupMetrics(
        name=name,
        n=n,
        accuracy=float(point.accuracy),
        uar=float(point.uar),
        accuracy_interval=None if spread is None else percentile_interval(spread.accuracy),
        uar_interval=None if spread is None else percentile_interval(spread.uar),
        compared=n >= smallest,
    )


def _odds(tables: Sequence[np.ndarray], classes: Sequence[str]) -> dict[str, float]:
    """Equalized-odds difference of each class that at least two groups have."""
    found = {}
    for k, name in enumerate(classes):
        able = [table for table in tables if table[k].sum() >= LEAST_OF_CLASS]
        if len(able) < 2:
            continue
        recalls = [table[k, k] / table[k].sum() for table in able]
        others = [np.delete(table, k, axis=0) for table in able]
        alarms = [rows[:, k].sum() / max(rows.sum(), 1) for rows in others]
        found[name] = float(max(np.ptp(recalls), np.ptp(alarms)))
    return found
