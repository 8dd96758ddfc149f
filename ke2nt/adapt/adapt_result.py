"""The result of a finished adaptation."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ke2nt.adapt.prediction_changes import PredictionChanges
from ke2nt.adapt.trust import Trust
from ke2nt.evaluation.predictions import Predictions
from ke2nt.evaluation.score import Evaluation
from ke2nt.training.run_directory import RunDirectory

__all__ = ["AdaptResult"]


@dataclass(frozen=True)
class AdaptResult:
    """The result of a finished adaptation.

    Attributes:
        run: The run directory.
        changes: Changes in the predictions for the target.
        trust: How far the adapted model can be trusted.
        before: Evaluation of the model before adaptation against the target's labels, None
            without labels.
        after: The same for the adapted model.
        predictions: Predictions of both models for the images of the report.
        facts: Content of `adaptation.json`.
    """

    run: RunDirectory
    changes: PredictionChanges
    trust: Trust
    before: Evaluation | None
    after: Evaluation | None
    predictions: tuple[Predictions, Predictions]
    facts: Mapping[str, Any]
