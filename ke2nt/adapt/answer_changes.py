"""What an adaptation changed in the answers, and what that says of its worth."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from ke2nt.adapt.label_free_criteria import (
    AnswerMetrics,
    compute_answer_metrics,
    domain_distance,
    expected_accuracy,
)
from ke2nt.data.sample import FaceSplit
from ke2nt.evaluation.predictions import Predictions
from ke2nt.evaluation.score import Evaluation, score_predictions

__all__ = ["Changes", "Side", "compare", "scored", "side"]


@dataclass(frozen=True)
class Side:
    """One model on the target, before or after.

    Attributes:
        answers: Label-free figures.
        distance: Proxy A-distance of its embeddings of source and target, in [0, 2]; None without
            source images.
        expected: Accuracy that its confidence lets expect on the target; None likewise.
        source_uar: Its mean class recall on held-out source images; None likewise.
    """

    answers: AnswerMetrics
    distance: float | None = None
    expected: float | None = None
    source_uar: float | None = None

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON value."""
        return {
            **asdict(self.answers),
            "shares": list(self.answers.shares),
            "collapsed": self.answers.collapsed,
            "domain_distance": self.distance,
            "expected_accuracy": self.expected,
            "source_uar": self.source_uar,
        }


@dataclass(frozen=True)
class Changes:
    """Two models' answers for the same images.

    Attributes:
        classes: K class names.
        n: Number of images.
        changed: Share of the images that are answered otherwise now.
        moves: ((class before, class after), images), the most frequent first.
        before: The model that was started from.
        after: The adapted model.
    """

    classes: tuple[str, ...]
    n: int
    changed: float
    moves: tuple[tuple[tuple[str, str], int], ...]
    before: Side
    after: Side

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON value."""
        return {
            "classes": list(self.classes),
            "n": self.n,
            "changed": self.changed,
            "moves": [{"from": a, "to": b, "n": n} for (a, b), n in self.moves],
            "before": self.before.to_dict(),
            "after": self.after.to_dict(),
        }


def side(target: Predictions, source: Predictions | None, seed: int) -> Side:
    """What is known of a model without target labels.

    Args:
        target: Its answers for the target.
        source: Its answers for held-out source images, with embeddings as those of the target.
        seed: Of what is drawn.
    """
    answers = compute_answer_metrics(target.probabilities)
    if source is None:
        return Side(answers)
    assert source.embeddings is not None
    assert target.embeddings is not None
    return Side(
        answers,
        distance=domain_distance(source.embeddings, target.embeddings, seed=seed),
        expected=expected_accuracy(source.probabilities, source.labels, target.probabilities),
        source_uar=score_predictions(source, policy="keep", bootstrap=0).report.uar,
    )


def compare(
    before: Predictions,
    after: Predictions,
    source: tuple[Predictions, Predictions] | None,
    *,
    seed: int = 0,
) -> Changes:
    """What changed between two models.

    Args:
        before: Answers of the first model for the target, with embeddings.
        after: Answers of the second for the same images.
        source: Answers of both for held-out source images, where there are any.
        seed: Of what is drawn.
    """
    first, second = before.probabilities.argmax(axis=1), after.probabilities.argmax(axis=1)
    names = after.classes
    moved = Counter(
        (names[a], names[b]) for a, b in zip(first, second, strict=True) if a != b
    ).most_common()
    return Changes(
        classes=names,
        n=len(after),
        changed=float(np.mean(first != second)),
        moves=tuple(moved),
        before=side(before, None if source is None else source[0], seed),
        after=side(after, None if source is None else source[1], seed),
    )


def scored(
    predictions: Predictions,
    truth: FaceSplit,
    settings: Mapping[str, Any],
    *,
    bootstrap: int = 1000,
    seed: int = 0,
) -> Evaluation | None:
    """Figures against labels, which are looked at here for the first time.

    None where no image is of a class that the model knows.

    Args:
        predictions: Answers for the images of `truth`, by name.
        truth: The labeled split; classes that the model lacks are left out of the figures.
        settings: Carried into the result.
        bootstrap: Resamples for the intervals.
        seed: Of the resamples.
    """
    by_name = {sample.name: sample.label for sample in truth.samples}
    labels = np.array([by_name[name] for name in predictions.names], dtype=np.int64)
    if not {truth.classes[label] for label in labels} & set(predictions.classes):
        return None
    known = replace(predictions, labels=labels, data_classes=truth.classes)
    return score_predictions(
        known, policy="drop", bootstrap=bootstrap, seed=seed, settings=settings
    )
