"""The models before and after an adaptation, compared on the target and on source images."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

from ke2nt.adapt.adapt_result import AdaptResult
from ke2nt.adapt.domains import Domains
from ke2nt.adapt.prediction_changes import (
    compare_predictions,
    score_against_labels,
)
from ke2nt.adapt.target_images import TargetData
from ke2nt.adapt.trust import Trust, assess_trust
from ke2nt.config.adapt import AdaptConfig
from ke2nt.data.tensors import FaceTensors
from ke2nt.evaluation.predictions import Predictions, compute_predictions
from ke2nt.evaluation.score import Evaluation
from ke2nt.models.base import ExpressionModel
from ke2nt.training.compute import EVAL_BATCH_SIZE
from ke2nt.training.run_directory import RunDirectory

__all__ = ["compare_models"]


def compare_models(
    config: AdaptConfig,
    run: RunDirectory,
    models: tuple[ExpressionModel, ExpressionModel],
    domains: Domains,
    summary: Mapping[str, Any],
    device: torch.device,
) -> AdaptResult:
    """Compare two models on the target, and on held-out source images where there are any.

    Args:
        config: The run's configuration.
        run: Its directory.
        models: Before and after the adaptation; moved to the CPU at the end.
        domains: The images.
        summary: Content of `run.json`: selection rule and unreadable images.
        device: Where the models predict.
    """
    # predict where the models trained, then free the device
    source, target = domains.source, domains.target
    flip_tta = config.select.flip_tta
    predictions = _predict(models, target.report_images, device, flip_tta)
    source_predictions = None if source is None else _predict(models, source.val, device, flip_tta)
    for model in models:
        model.to("cpu")

    # everything up to here needs no label of the target
    changes = compare_predictions(*predictions, source_predictions, seed=config.seed)
    trust = assess_trust(
        changes,
        target_images=len(target.images.usable),
        source_images=None if source is None else len(source.train),
    )

    # the first and only place where labels of the target are read
    before, after = (_evaluate(config, target, p) for p in predictions)
    facts = {
        **_describe_run(config, target, summary),
        **changes.to_dict(),
        **_describe_outcome(summary, trust, before, after),
    }
    return AdaptResult(run, changes, trust, before, after, predictions, facts)


def _predict(
    models: tuple[ExpressionModel, ExpressionModel],
    images: FaceTensors,
    device: torch.device,
    flip_tta: bool,
) -> tuple[Predictions, Predictions]:
    """Predict with both models, in full precision and with embeddings."""
    before, after = (
        compute_predictions(
            model,
            images,
            batch_size=EVAL_BATCH_SIZE,
            device=device,
            precision="fp32",
            embeddings=True,
            flip_tta=flip_tta,
        )
        for model in models
    )
    return before, after


def _evaluate(
    config: AdaptConfig, target: TargetData, predictions: Predictions
) -> Evaluation | None:
    split = target.labeled_split
    if split is None:
        return None

    # stored with the metrics, so that they can be reproduced
    settings = {
        "dataset": split.dataset,
        "split": split.split,
        "flip_tta": config.select.flip_tta,
    }
    return score_against_labels(predictions, split, settings, seed=config.seed)


def _describe_run(
    config: AdaptConfig, target: TargetData, summary: Mapping[str, Any]
) -> dict[str, Any]:
    split, report_split = target.images.split, target.report_images.split
    return {
        "method": config.adapt.method,
        "selection": summary["selection"]["rule"],
        "target": {
            "dataset": report_split.dataset,
            "split": split.split,
            "report_split": report_split.split,
            "adapted_to": len(target.images.usable),
        },
        "labels": None if target.mapping is None else target.mapping.describe(),
        "gate": summary.get("gate"),
        "class_shares": summary.get("class_shares"),
    }


def _describe_outcome(
    summary: Mapping[str, Any], trust: Trust, before: Evaluation | None, after: Evaluation | None
) -> dict[str, Any]:
    unreadable = summary["unreadable"].items()
    return {
        "unreadable": [{"name": name, "reason": reason} for name, reason in unreadable],
        "trust": {"level": trust.level, "reasons": list(trust.reasons)},
        "figures": {
            "before": None if before is None else before.to_dict(),
            "after": None if after is None else after.to_dict(),
        },
    }
