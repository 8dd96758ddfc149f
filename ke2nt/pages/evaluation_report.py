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
from ke2nt.runtime.formatting import percent
from ke2nt.runtime.provenance import provenance

__all__ = ["describe_data", "build_evaluation_report"]


def describe_data(evaluation: Evaluation, options: Mapping[str, Any]) -> str:
    """Say which images were evaluated, with which reader options, and whether mirrored too."""
    settings = evaluation.settings
    text = f"{settings['dataset']} {settings['split']}"
    if options:
        text += f" ({', '.join(f'{key} {value}' for key, value in options.items())})"

    text += f": {evaluation.report.n:,} images"
    if settings["flip_tta"]:
        text += ", each averaged with its mirror image"
    if prior := settings.get("prior"):
        shares = ", ".join(f"{name} {percent(share)}" for name, share in prior.items())
        text += f"; class shares assumed: {shares}"
    return text


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
    """Build the contents of a page about an evaluation.

    Args:
        evaluation: Result of `evaluate_model` on `images`.
        images: The evaluated split.
        model: The evaluated model.
        options: Options of the dataset reader, such as {"rule": "majority"}.
        records: Log records of the model's training, if known.
        command: The command line.
        warnings: Shown at the top.
        groups: Metrics of groups of people, one report per attribute.
    """
    split, predictions = images.split, evaluation.predictions

    return RunReport(
        title=f"{model.architecture['backbone']} on {split.dataset} {split.split}",
        data=describe_data(evaluation, options),
        # Quality of the predictions.
        metrics=evaluation.report,
        uncalibrated=evaluation.uncalibrated,
        coverage=coverage_risk(predictions.probabilities, predictions.labels),
        min_confidence=None if model.calibration is None else model.calibration.min_confidence,
        groups=groups,
        # Data and model.
        labels=evaluation.mapping.describe(),
        faces=pick_faces(evaluation, images),
        failed=evaluation.failed,
        records=records,
        text=None if model.bank is None else PromptMap.from_bank(model.bank),
        # Origin of the page.
        provenance={"evaluation": provenance(), "model": model.provenance},
        command=command,
        warnings=warnings,
    )
