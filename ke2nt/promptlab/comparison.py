"""Two prompt sets on the same images: which is better, and is it chance."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ke2nt.errors import DataError
from ke2nt.labels import LabelPolicy
from ke2nt.promptlab.intervals import (
    Metrics,
    compute_difference,
    compute_metrics,
    count_paired_outcomes,
)
from ke2nt.promptlab.mcnemar import McNemar, mcnemar
from ke2nt.promptlab.workbench import build_workbench, load_prompt_sets
from ke2nt.prompts.prompt_set import PromptSet

if TYPE_CHECKING:
    from ke2nt.evaluation.embed_split import ImageEmbeddings
    from ke2nt.vlm.base import TextEncoder

__all__ = ["Comparison", "compare", "compare_answers"]


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two answers to the same N images.

    Attributes:
        names: What is compared: the first, the second.
        classes: Class names, in index order.
        support: Images of each class.
        first: Figures of the first.
        second: Figures of the second.
        difference: Second minus first, with paired bootstrap intervals.
        test: McNemar's test over all images.
        class_tests: The same over the images of each class; not corrected for their number.
        gained: Names of the images that only the second has right.
        lost: Names of the images that only the first has right.
        labels: What became of the classes of the data.
    """

    names: tuple[str, str]
    classes: tuple[str, ...]
    support: tuple[int, ...]
    first: Metrics
    second: Metrics
    difference: Metrics
    test: McNemar
    class_tests: tuple[McNemar, ...]
    gained: tuple[str, ...]
    lost: tuple[str, ...]
    labels: Mapping[str, Any]

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON value."""
        return {
            "names": list(self.names),
            "n": sum(self.support),
            "classes": list(self.classes),
            "support": list(self.support),
            "first": self.first.to_dict(),
            "second": self.second.to_dict(),
            "difference": self.difference.to_dict(),
            "mcnemar": self.test.to_dict(),
            "mcnemar_by_class": [test.to_dict() for test in self.class_tests],
            "gained": list(self.gained),
            "lost": list(self.lost),
            "labels": dict(self.labels),
        }


def compare(
    images: ImageEmbeddings,
    first: PromptSet | str | Path,
    second: PromptSet | str | Path,
    *,
    text_encoder: TextEncoder | str | None = None,
    policy: LabelPolicy = "strict",
    merge: Mapping[str, str] | None = None,
    bootstrap: int = 1000,
    seed: int = 0,
    cache_dir: str | Path | None = None,
) -> Comparison:
    """Compare two prompt sets on a split.

    Args:
        images: A split's image embeddings, from `ke2nt.evaluation.embed_split.embed_split`.
        first: A prompt set, the name of a shipped one, or a YAML file.
        second: Another one.
        text_encoder: As in `build_workbench`, as are policy, merge and cache_dir.
        bootstrap: Resamples for the intervals; 0 for none.
        seed: Seed of the resamples.

    Raises:
        Ke2ntError: As for `build_workbench`.
    """
    workbench = build_workbench(
        images,
        load_prompt_sets([first, second]),
        text_encoder=text_encoder,
        policy=policy,
        merge=merge,
        cache_dir=cache_dir,
    )
    pool, scorer = workbench.pool, workbench.scorer
    one, two = pool.sets
    answers = scorer.predict(np.stack([pool.whole(one), pool.whole(two)]))
    return compare_answers(
        answers[0],
        answers[1],
        scorer.labels,
        pool.classes,
        names=(one.name, two.name),
        images=workbench.names,
        labels_note=workbench.label_facts,
        bootstrap=bootstrap,
        seed=seed,
    )


def compare_answers(
    first: np.ndarray,
    second: np.ndarray,
    labels: np.ndarray,
    classes: Sequence[str],
    *,
    names: tuple[str, str] = ("first", "second"),
    images: Sequence[str] | None = None,
    labels_note: Mapping[str, Any] | None = None,
    bootstrap: int = 1000,
    seed: int = 0,
) -> Comparison:
    """Compare any two predictions for the same N images.

    Args:
        first: (N,) predicted class indices.
        second: (N,) predicted class indices.
        labels: (N,) true class indices.
        classes: K class names.
        names: What is compared.
        images: N names of the images; their positions unless given.
        labels_note: Carried into the result.
        bootstrap: Resamples for the intervals; 0 for none.
        seed: Seed of the resamples.

    Raises:
        DataError: The shapes differ, or there are no images.
    """
    first, second, labels = (np.asarray(a, dtype=np.int64) for a in (first, second, labels))
    if labels.ndim != 1 or not labels.size or not first.shape == second.shape == labels.shape:
        raise DataError(
            "predictions and labels do not fit together",
            expected="(N,) each, N at least 1",
            found=f"{first.shape}, {second.shape} and {labels.shape}",
        )
    listed = np.array(images if images is not None else [str(i) for i in range(len(labels))])
    right = first == labels, second == labels
    table = count_paired_outcomes(*right, labels, len(classes))
    support = table.sum(axis=1)
    options: dict[str, Any] = {"resamples": bootstrap, "seed": seed}
    return Comparison(
        names=names,
        classes=tuple(classes),
        support=tuple(map(int, support)),
        first=compute_metrics(table[:, [0, 1]].sum(axis=1), support, **options),
        second=compute_metrics(table[:, [0, 2]].sum(axis=1), support, **options),
        difference=compute_difference(table, **options),
        test=mcnemar(*map(int, table[:, 1:3].sum(axis=0))),
        class_tests=tuple(mcnemar(int(row[1]), int(row[2])) for row in table),
        gained=tuple(map(str, listed[~right[0] & right[1]])),
        lost=tuple(map(str, listed[right[0] & ~right[1]])),
        labels=dict(labels_note or {}),
    )
