"""Predictions scored in one label set, under an explicit policy."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ke2nt.errors import DataError
from ke2nt.evaluation.metrics import ClassificationReport, classification_report
from ke2nt.evaluation.predictions import Predictions
from ke2nt.labels import LabelMapping, LabelPolicy, map_labels

__all__ = ["Evaluation", "score_predictions"]


@dataclass(frozen=True)
class Evaluation:
    """A report and all that is needed to read it.

    Attributes:
        report: The metrics.
        predictions: The scored images, labels and probabilities in the label set of the report.
        mapping: How the classes of the data were read as classes of the model.
        dropped: Class of the data → number of its images that were left out.
        settings: What the metrics depend on, such as {"dataset": "ferplus", "flip_tta": False}.
        uncalibrated: The metrics without the model's calibration, without intervals; None for a
            model that has none.
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
        """Plain JSON value."""
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
            **self.report.to_dict(),
            **self._before(),
        }

    def _before(self) -> dict[str, Any]:
        raw = self.uncalibrated
        names = ("accuracy", "ece", "nll", "brier")
        return {} if raw is None else {"uncalibrated": {n: getattr(raw, n) for n in names}}

    def to_csv(self) -> str:
        """One row an image: name, true and predicted class, and every class's probability."""
        p = self.predictions
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(["name", "label", "predicted", *(f"p_{name}" for name in p.classes)])
        for name, label, row in zip(p.names, p.labels, p.probabilities, strict=True):
            guess = p.classes[row.argmax()]
            writer.writerow([name, p.classes[label], guess, *(f"{value:.6g}" for value in row)])
        return text.getvalue()


def _mask(probabilities: np.ndarray, keep: list[int]) -> np.ndarray:
    """Columns `keep`, renormalized; a row without any mass there becomes uniform."""
    kept = probabilities[:, keep]
    total = kept.sum(axis=1, keepdims=True)
    uniform = np.full_like(kept, 1 / len(keep))
    return np.divide(kept, total, out=uniform, where=total > 0)


def score_predictions(
    predictions: Predictions,
    *,
    policy: LabelPolicy = "strict",
    merge: Mapping[str, str] | None = None,
    bootstrap: int = 1000,
    seed: int = 0,
    settings: Mapping[str, Any] | None = None,
) -> Evaluation:
    """Score predictions after the labels of the data have been read in the model's label set.

    Under "drop" the report covers the classes that both sides have: the model's other classes are
    masked out of its probabilities, which are renormalized. Under "keep" it covers all classes of
    the model, and an answer that the data cannot confirm counts as wrong.

    Args:
        predictions: Result of `predict`.
        policy: What to do with classes that only one side has; see `ke2nt.labels.map_labels`.
        merge: Class of the data → class of the model to read it as.
        bootstrap: Resamples for the intervals; 0 for none.
        seed: Seed of the resamples.
        settings: Carried into the result.

    Raises:
        LabelError: The label sets do not fit under the policy.
        DataError: No image is left.
    """
    mapping = map_labels(predictions.data_classes, predictions.classes, policy=policy, merge=merge)
    target = np.array([-1 if i is None else i for i in mapping.index])[predictions.labels]
    chosen = target >= 0
    if not chosen.any():
        raise DataError(
            "no image is left after classes were dropped", found=", ".join(mapping.dropped)
        )
    counts = np.bincount(predictions.labels, minlength=len(mapping.source))
    dropped = {name: int(counts[mapping.source.index(name)]) for name in mapping.dropped}
    probabilities, labels, classes = (
        predictions.probabilities[chosen],
        target[chosen],
        mapping.target,
    )
    raw = predictions.uncalibrated() if predictions.calibrated else None
    raw = None if raw is None else raw[chosen]
    if policy == "drop" and mapping.unused:
        keep = [k for k, name in enumerate(classes) if name not in mapping.unused]
        probabilities, labels = _mask(probabilities, keep), np.searchsorted(keep, labels)
        raw = None if raw is None else _mask(raw, keep)
        classes = tuple(classes[k] for k in keep)
    return Evaluation(
        report=classification_report(
            probabilities, labels, classes, bootstrap=bootstrap, seed=seed
        ),
        predictions=replace(
            predictions,
            probabilities=probabilities,
            labels=labels,
            names=tuple(n for n, yes in zip(predictions.names, chosen, strict=True) if yes),
            classes=classes,
            data_classes=classes,
            embeddings=None if predictions.embeddings is None else predictions.embeddings[chosen],
            logits=None,
        ),
        mapping=mapping,
        dropped=dropped,
        settings=dict(settings or {}),
        uncalibrated=None
        if raw is None
        else classification_report(raw, labels, classes, bootstrap=0),
    )
