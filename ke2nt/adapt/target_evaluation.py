"""Evaluation of an epoch on the target, without labels."""

from __future__ import annotations

from typing import Any

from ke2nt.adapt.label_free_metrics import compute_label_free_metrics
from ke2nt.config.schema import SelectConfig
from ke2nt.data.tensors import FaceTensors
from ke2nt.evaluation.predictions import compute_predictions
from ke2nt.models.base import ExpressionModel
from ke2nt.training.compute import EVAL_BATCH_SIZE, Compute

__all__ = ["evaluate_on_target"]


def evaluate_on_target(
    model: ExpressionModel, images: FaceTensors, config: SelectConfig, compute: Compute
) -> tuple[float, dict[str, Any]]:
    """Evaluate a model on unlabeled images.

    Args:
        model: The model.
        images: The target.
        config: Whether mirror images are averaged in.
        compute: Precision.

    Returns:
        Mutual information of images and predictions, and entries of the log record.
    """
    predictions = compute_predictions(
        model,
        images,
        batch_size=EVAL_BATCH_SIZE,
        precision=compute.precision,
        flip_tta=config.flip_tta,
    )

    metrics = compute_label_free_metrics(predictions.probabilities)
    record = {
        "confidence": metrics.confidence,
        "information": metrics.information,
        "largest_share": metrics.largest_share,
    }
    return metrics.information, {"target": record}
