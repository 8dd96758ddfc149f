"""Two prompt sets on the same images: which is better, and whether it may be chance."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ke2nt.errors import DataError
from ke2nt.promptlab.intervals import (
    Metrics,
    compute_difference,
    compute_metrics,
    count_paired_outcomes,
)
from ke2nt.promptlab.mcnemar import McNemar, mcnemar
from ke2nt.promptlab.options import LabOptions
from ke2nt.promptlab.workbench import build_workbench
from ke2nt.prompts.load_sets import load_prompt_sets
from ke2nt.prompts.prompt_set import PromptSet

if TYPE_CHECKING:
    from ke2nt.evaluation.embed_split import ImageEmbeddings

__all__ = ["Comparison", "compare", "compare_predictions"]


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two predictions for the same N images.

    Attributes:
        names: What is compared: the first, the second.
        classes: Class names, in index order.
        support: Images of each class.
        first: Metrics of the first.
        second: Metrics of the second.
        difference: Second minus first, with paired bootstrap intervals.
        test: McNemar's test over all images.
        class_tests: McNemar's test over the images of each class; not corrected for their number.
        gained: Names of the images that only the second gets right.
        lost: Names of the images that only the first gets right.
        labels: How the classes of the data were mapped.
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
        """Return a plain JSON value."""
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
    options: LabOptions | None = None,
    **fields: Any,
) -> Comparison:
    """Compare two prompt sets on a split.

    Args:
        images: A split's image embeddings, from `ke2nt.evaluation.embed_split.embed_split`.
        first: A prompt set, the name of a shipped one, or a YAML file.
        second: Another one.
        options: How to read labels and prompts; the defaults of `LabOptions` unless given.
        **fields: Fields of `LabOptions` to change, such as `policy="drop"`.

    Raises:
        Ke2ntError: As for `build_workbench`.
    """
    options = replace(options or LabOptions(), **fields)
    workbench = build_workbench(images, load_prompt_sets([first, second]), options)

    # (2, N): predictions with each whole set
    pool = workbench.pool
    masks = np.stack([pool.mask_of_set(each) for each in pool.sets])
    predicted = workbench.scorer.predict(masks, quiet=options.quiet)
    comparison = compare_predictions(
        predicted[0],
        predicted[1],
        workbench.scorer.labels,
        pool.classes,
        names=(pool.sets[0].name, pool.sets[1].name),
        images=workbench.names,
        bootstrap=options.bootstrap,
        seed=options.seed,
    )
    return replace(comparison, labels=workbench.label_facts)


def compare_predictions(
    first: np.ndarray,
    second: np.ndarray,
    labels: np.ndarray,
    classes: Sequence[str],
    *,
    names: tuple[str, str] = ("first", "second"),
    images: Sequence[str] | None = None,
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
    # Positions stand in for names that are unknown.
    image_names = np.array(images if images is not None else [str(i) for i in range(len(labels))])

    # (K, 4): both right, only the first, only the second, neither
    first_right, second_right = first == labels, second == labels
    table = count_paired_outcomes(first_right, second_right, labels, len(classes))
    support = table.sum(axis=1)
    only_first, only_second = table[:, 1], table[:, 2]

    resampling: dict[str, Any] = {"resamples": bootstrap, "seed": seed}
    return Comparison(
        names=names,
        classes=tuple(classes),
        support=tuple(map(int, support)),
        first=compute_metrics(table[:, [0, 1]].sum(axis=1), support, **resampling),
        second=compute_metrics(table[:, [0, 2]].sum(axis=1), support, **resampling),
        difference=compute_difference(table, **resampling),
        test=mcnemar(int(only_first.sum()), int(only_second.sum())),
        class_tests=tuple(mcnemar(int(row[1]), int(row[2])) for row in table),
        gained=tuple(map(str, image_names[~first_right & second_right])),
        lost=tuple(map(str, image_names[first_right & ~second_right])),
        labels={},
    )
