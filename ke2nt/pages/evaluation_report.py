"""The report page of one evaluation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ke2nt.data.tensors import FaceTensors
from ke2nt.evaluation.coverage import coverage_risk
from ke2nt.evaluation.groups import GroupReport
from ke2nt.evaluation.score import Evaluation
from ke2nt.models.base import ExpressionModel
from ke2nt.pages.faces import pick_faces
from ke2nt.pages.run_report import PromptMap, RunReport
from ke2nt.runtime.provenance import provenance

__all__ = ["describe_data", "build_evaluation_report"]


def describe_data(evaluation: Evaluation, options: Mapping[str, Any]) -> str:
    """Which images, under which rule, and how they were shown to the model."""
    settings = evaluation.settings
    rule = ", ".join(f"{key} {value}" for key, value in options.items())
    return (
        f"{settings['dataset']} {settings['split']}"
        + (f" ({rule})" if rule else "")
        + f": {evaluation.report.n:,} images"
        + (", each averaged with its mirror image" if settings["flip_tta"] else "")
    )


def build_evaluation_report(
    evaluation: Evaluation,
    images: FaceTensors,
    model: ExpressionModel,
    *,
    options: Mapping[str, Any],
    records: Sequence[Mapping[str, Any]] = (),
    command: str | None = None,
    warnings: Sequence[str] = (),
    groups: Sequence[GroupReport] = (),
) -> RunReport:
    """What a page on an evaluation shows.

    Args:
        evaluation: Result of `evaluate_model` on `images`.
        images: The evaluated split.
        model: The evaluated model.
        options: Options of the dataset reader, such as {"rule": "majority"}.
        records: Log records of the model's training, where known.
        command: What was typed.
        warnings: Shown at the top.
        groups: Metrics of groups of people, one report an attribute.
    """
    split = images.split
    return RunReport(
        title=f"{model.architecture['backbone']} on {split.dataset} {split.split}",
        data=describe_data(evaluation, options),
        metrics=evaluation.report,
        uncalibrated=evaluation.uncalibrated,
        coverage=coverage_risk(evaluation.predictions.probabilities, evaluation.predictions.labels),
        min_confidence=None if model.calibration is None else model.calibration.min_confidence,
        labels=evaluation.mapping.describe(),
        faces=pick_faces(evaluation, images),
        failed=evaluation.failed,
        records=records,
        text=None if model.bank is None else PromptMap.from_bank(model.bank),
        provenance={"evaluation": provenance(), "model": model.provenance},
        command=command,
        warnings=warnings,
        groups=groups,
    )
