"""What an adaptation changed in the predictions for the target."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from ke2nt.adapt.label_free_metrics import (
    LabelFreeMetrics,
    compute_domain_distance,
    compute_label_free_metrics,
    estimate_accuracy,
)
from ke2nt.data.sample import FaceSplit
from ke2nt.evaluation.predictions import Predictions
from ke2nt.evaluation.score import Evaluation, score_predictions

__all__ = [
    "PredictionChanges",
    "TargetSummary",
    "compare_predictions",
    "score_against_labels",
    "summarize_model",
]


@dataclass(frozen=True)
class TargetSummary:
    """One model on the target, without labels.

    Attributes:
        metrics: Label-free metrics of its predictions.
        domain_distance: Proxy A-distance of its source and target embeddings, in [0, 2]; None
            without source images.
        expected_accuracy: Accuracy on the target estimated from its confidence; None likewise.
        source_uar: Its mean class recall on held-out source images; None likewise.
    """

    metrics: LabelFreeMetrics
    domain_distance: float | None = None
    expected_accuracy: float | None = None
    source_uar: float | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return a plain JSON value."""
        return {
            **asdict(self.metrics),
            "shares": list(self.metrics.shares),
            "collapsed": self.metrics.collapsed,
            "domain_distance": self.domain_distance,
            "expected_accuracy": self.expected_accuracy,
            "source_uar": self.source_uar,
        }


@dataclass(frozen=True)
class PredictionChanges:
    """Predictions of two models for the same images.

    Attributes:
        classes: K class names.
        num_images: Number of images.
        changed_share: Share of the images whose predicted class changed.
        transitions: ((class before, class after), number of images), the most frequent first.
        before: The model before adaptation.
        after: The adapted model.
    """

    classes: tuple[str, ...]
    num_images: int
    changed_share: float
    transitions: tuple[tuple[tuple[str, str], int], ...]
    before: TargetSummary
    after: TargetSummary

    def to_dict(self) -> dict[str, Any]:
        """Return a plain JSON value."""
        return {
            "classes": list(self.classes),
            "n": self.num_images,
            "changed": self.changed_share,
            "moves": [{"from": a, "to": b, "n": n} for (a, b), n in self.transitions],
            "before": self.before.to_dict(),
            "after": self.after.to_dict(),
        }


def summarize_model(target: Predictions, source: Predictions | None, seed: int) -> TargetSummary:
    """Summarize a model on the target without labels.

    Args:
        target: Its predictions for the target.
        source: Its predictions for held-out source images; where given, both have embeddings.
        seed: Seed of random subsets.
    """
    metrics = compute_label_free_metrics(target.probabilities)
    if source is None:
        return TargetSummary(metrics)

    # distance and expected accuracy compare both domains
    assert source.embeddings is not None
    assert target.embeddings is not None
    return TargetSummary(
        metrics,
        domain_distance=compute_domain_distance(source.embeddings, target.embeddings, seed=seed),
        expected_accuracy=estimate_accuracy(
            source.probabilities, source.labels, target.probabilities
        ),
        source_uar=score_predictions(source, policy="keep", bootstrap=0).report.uar,
    )


def compare_predictions(
    before: Predictions,
    after: Predictions,
    source: tuple[Predictions, Predictions] | None,
    *,
    seed: int = 0,
) -> PredictionChanges:
    """Compare the predictions of two models.

    Args:
        before: Predictions of the first model for the target.
        after: Predictions of the second model for the same images.
        source: Predictions of both for held-out source images, or None.
        seed: Seed of random subsets.
    """
    # (N,) predicted classes before and after
    first, second = before.probabilities.argmax(axis=1), after.probabilities.argmax(axis=1)
    changed = np.flatnonzero(first != second)

    # most_common keeps the order of first occurrence among equal counts
    names = after.classes
    transitions = Counter((names[first[i]], names[second[i]]) for i in changed)
    return PredictionChanges(
        classes=names,
        num_images=len(after),
        changed_share=float(np.mean(first != second)),
        transitions=tuple(transitions.most_common()),
        before=summarize_model(before, None if source is None else source[0], seed),
        after=summarize_model(after, None if source is None else source[1], seed),
    )


def score_against_labels(
    predictions: Predictions,
    labeled: FaceSplit,
    settings: Mapping[str, Any],
    *,
    bootstrap: int = 1000,
    seed: int = 0,
) -> Evaluation | None:
    """Evaluate predictions against the target's labels, which are read here for the first time.

    Args:
        predictions: Predictions for the images of `labeled`, matched by name.
        labeled: The labeled split; classes that the model lacks are left out.
        settings: Stored in the result.
        bootstrap: Resamples for the intervals.
        seed: Seed of the resamples.

    Returns:
        None where no image is of a class that the model knows.
    """
    # unreadable images have no prediction, so labels are matched by name
    label_by_name = {sample.name: sample.label for sample in labeled.samples}
    labels = np.array([label_by_name[name] for name in predictions.names], dtype=np.int64)

    # labels that share no class with the model give nothing to score
    present = {labeled.classes[label] for label in labels}
    if not present & set(predictions.classes):
        return None

    with_labels = replace(predictions, labels=labels, data_classes=labeled.classes)
    return score_predictions(
        with_labels, policy="drop", bootstrap=bootstrap, seed=seed, settings=settings
    )
