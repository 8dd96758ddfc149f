"""Predictions scored in one label set, under an explicit policy."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ke2nt.errors import DataError, LabelError
from ke2nt.evaluation.metrics import ClassificationReport, classification_report
from ke2nt.evaluation.predictions import Predictions
from ke2nt.labels import MERGE_HINT, LabelMapping, LabelPolicy, map_labels

__all__ = ["Evaluation", "score_predictions"]

_CALIBRATION_METRICS = ("accuracy", "ece", "nll", "brier")


@dataclass(frozen=True)
class Evaluation:
    """A report and everything needed to interpret it.

    Attributes:
        report: The metrics.
        predictions: The scored images, labels and probabilities in the label set of the report.
        mapping: How the classes of the data were mapped to classes of the model.
        dropped: Class of the data → number of its images that were left out.
        settings: What the metrics depend on, such as {"dataset": "ferplus", "flip_tta": False}.
        uncalibrated: The metrics without the model's calibration, without intervals; None if the
            model has no calibration.
    """

    report: ClassificationReport
    predictions: Predictions
    mapping: LabelMapping
    dropped: Mapping[str, int]
    settings: Mapping[str, Any]
    uncalibrated: ClassificationReport | None = None

    @property
    def failed(self) -> tuple[tuple[str, str], ...]:
        """(name, reason) of every image that could not be read."""
        return self.predictions.failed

    def to_dict(self) -> dict[str, Any]:
        """Return a plain JSON value."""
        # Only the metrics that a calibration can change.
        raw = self.uncalibrated
        before = {} if raw is None else {name: getattr(raw, name) for name in _CALIBRATION_METRICS}

        return {
            **self.settings,
            "labels": {
                "policy": self.mapping.policy,
                "data": list(self.mapping.source),
                "model": list(self.mapping.target),
                "merged": dict(self.mapping.merged),
                "dropped": dict(self.dropped),
                "unused": list(self.mapping.unused),
                "summary": self.mapping.describe(),
            },
            "failed": [{"name": name, "reason": reason} for name, reason in self.failed],
            # The metrics themselves, at the top level.
            **self.report.to_dict(),
            **({"uncalibrated": before} if before else {}),
        }

    def to_csv(self) -> str:
        """Return one row per image: name, true and predicted class, and all probabilities."""
        p = self.predictions
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")

        writer.writerow(["name", "label", "predicted", *(f"p_{name}" for name in p.classes)])
        for name, label, row in zip(p.names, p.labels, p.probabilities, strict=True):
            predicted = p.classes[row.argmax()]
            writer.writerow([name, p.classes[label], predicted, *(f"{value:.6g}" for value in row)])
        return text.getvalue()


def score_predictions(
    predictions: Predictions,
    *,
    policy: LabelPolicy = "strict",
    merge: Mapping[str, str] | None = None,
    bootstrap: int = 1000,
    seed: int = 0,
    settings: Mapping[str, Any] | None = None,
) -> Evaluation:
    """Score predictions after mapping the labels of the data to the model's label set.

    Under "drop", the report covers the classes that both sides have: the model's other classes are
    removed from its probabilities, which are renormalized. Under "keep", it covers all classes of
    the model, and an answer that the data has no class for counts as wrong.

    Args:
        predictions: Result of `compute_predictions`.
        policy: How to treat classes that only one side has; see `ke2nt.labels.map_labels`.
        merge: Class of the data → class of the model to map it to.
        bootstrap: Resamples for the intervals; 0 for none.
        seed: Seed of the resamples.
        settings: Stored with the result.

    Raises:
        LabelError: The label sets do not fit under the policy, or "drop" leaves one class.
        DataError: No image is left.
    """
    mapping = map_labels(predictions.data_classes, predictions.classes, policy=policy, merge=merge)

    # (N,) class indices of the model; −1 for images of a class that is dropped
    target = np.array([-1 if i is None else i for i in mapping.index])[predictions.labels]
    kept = target >= 0
    if not kept.any():
        raise DataError(
            "no image is left after classes were dropped",
            found=", ".join(mapping.dropped),
            hint=MERGE_HINT,
        )
    counts = np.bincount(predictions.labels, minlength=len(mapping.source))
    dropped = {name: int(counts[mapping.source.index(name)]) for name in mapping.dropped}

    # The same images and classes for the calibrated and the uncalibrated probabilities.
    scored = _select_images(predictions, kept, target)
    raw = predictions.uncalibrated() if predictions.calibrated else None
    raw = None if raw is None else raw[kept]
    if policy == "drop" and mapping.unused:
        columns = [k for k, name in enumerate(scored.classes) if name not in mapping.unused]
        # a model that has no choice is always right
        if len(columns) == 1:
            raise LabelError(
                "only one class is shared, and every answer would be right without the others",
                expected="two shared classes or more",
                found=scored.classes[columns[0]],
                hint="Use --labels keep (in Python: policy=): the model may answer with others.",
            )
        scored = _select_classes(scored, columns)
        raw = None if raw is None else _renormalize(raw, columns)

    labels, classes = scored.labels, scored.classes
    return Evaluation(
        report=classification_report(
            scored.probabilities, labels, classes, bootstrap=bootstrap, seed=seed
        ),
        predictions=scored,
        mapping=mapping,
        dropped=dropped,
        settings=dict(settings or {}),
        uncalibrated=None
        if raw is None
        else classification_report(raw, labels, classes, bootstrap=0),
    )


def _select_images(predictions: Predictions, kept: np.ndarray, target: np.ndarray) -> Predictions:
    """Keep the images of a mask (N,), with the model's class indices `target` (N,) as labels."""
    embeddings = predictions.embeddings
    return replace(
        predictions,
        probabilities=predictions.probabilities[kept],
        labels=target[kept],
        names=tuple(name for name, keep in zip(predictions.names, kept, strict=True) if keep),
        data_classes=predictions.classes,
        embeddings=None if embeddings is None else embeddings[kept],
        logits=None,
    )


def _select_classes(predictions: Predictions, columns: list[int]) -> Predictions:
    """Keep some classes, given by their ascending indices; every label is one of them."""
    classes = tuple(predictions.classes[k] for k in columns)
    return replace(
        predictions,
        probabilities=_renormalize(predictions.probabilities, columns),
        labels=np.searchsorted(columns, predictions.labels),
        classes=classes,
        data_classes=classes,
    )


def _renormalize(probabilities: np.ndarray, columns: list[int]) -> np.ndarray:
    """Keep some columns, rows summing to 1; a row without any mass there becomes uniform."""
    # (N, len(columns))
    kept = probabilities[:, columns]
    total = kept.sum(axis=1, keepdims=True)
    uniform = np.full_like(kept, 1 / len(columns))
    return np.divide(kept, total, out=uniform, where=total > 0)
