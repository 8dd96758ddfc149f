"""The end of an adaptation: both models compared, and the results written."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from ke2nt.adapt.adapt_result import AdaptResult
from ke2nt.adapt.adaptation_page import build_adaptation_report
from ke2nt.adapt.compare_models import compare_models
from ke2nt.adapt.domains import Domains
from ke2nt.adapt.share_correction import estimate_correction
from ke2nt.adapt.starting_model import load_uncalibrated
from ke2nt.checkpoints.card_facts import evaluation_facts
from ke2nt.checkpoints.find_model import public_model_name
from ke2nt.checkpoints.model_folder import update_folder
from ke2nt.config.adapt import AdaptConfig
from ke2nt.models.base import ExpressionModel
from ke2nt.models.load import load_model
from ke2nt.pages.render import write_report
from ke2nt.runtime.distributed import is_main
from ke2nt.training.compute import Compute
from ke2nt.training.progress import Progress
from ke2nt.training.run_directory import RunDirectory

__all__ = ["finish_adaptation"]


def finish_adaptation(
    config: AdaptConfig,
    run: RunDirectory,
    start: str | Path,
    domains: Domains,
    progress: Progress,
    summary: Mapping[str, Any],
    device: torch.device,
) -> AdaptResult:
    """Compare the saved model with the one before, and write the results.

    Args:
        config: The run's configuration.
        run: Its directory, which holds the adapted model.
        start: Name or folder of the model before.
        domains: The images.
        progress: Course of the training; empty where nothing was trained.
        summary: Content of `run.json`: selection rule, gate, unreadable images, provenance.
        device: Where the models predict.
    """
    # the model as it was saved, not as it is in memory
    adapted = load_model(run.path)
    shares = _correct_for_shares(config, run, adapted, domains, device)
    if shares is not None:
        summary = {**summary, "class_shares": shares}

    models = (load_uncalibrated(start), adapted)
    result = compare_models(config, run, models, domains, summary, device)
    if not is_main():
        return result

    # the page comes last: it is not needed to use the model
    _write_results(config, run, result, progress, summary)
    report = build_adaptation_report(
        config,
        result,
        progress,
        domains.target.report_images,
        summary["provenance"],
        start_name=public_model_name(start),
        bank=adapted.bank,
    )
    write_report(run.report, report)
    run.end(config)
    return result


def _correct_for_shares(
    config: AdaptConfig,
    run: RunDirectory,
    adapted: ExpressionModel,
    domains: Domains,
    device: torch.device,
) -> dict[str, Any] | None:
    """Estimate the target's class shares, and correct the adapted model where they are trusted.

    Returns:
        What is reported of the estimate; None where the run estimates no shares.
    """
    estimator = config.adapt.share_estimator
    if estimator is None or domains.source is None:
        return None

    adapted.calibration = None
    shares = estimate_correction(
        adapted,
        domains.source.val,
        domains.target.images,
        estimator,
        Compute(device),
        power=config.adapt.share_power,
        seed=config.seed,
    )
    if shares.trusted:
        adapted.calibration = shares.calibration()
        if is_main():
            update_folder(run.model, calibration=adapted.calibration)
    reported: dict[str, Any] = shares.to_dict()["class_shares"]
    return reported


def _write_results(
    config: AdaptConfig,
    run: RunDirectory,
    result: AdaptResult,
    progress: Progress,
    summary: Mapping[str, Any],
) -> None:
    """Write the JSON files of a finished run and the model card."""
    run.write("adaptation.json", result.facts)

    # the model card names the target, and its metrics where there are labels
    target = result.facts["target"]
    card: dict[str, Any] = {
        "adapted": {
            "dataset": target["dataset"],
            "split": target["split"],
            "images": target["adapted_to"],
            "method": config.adapt.method,
        }
    }
    if result.after is not None:
        card["evaluations"] = [evaluation_facts(result.after.to_dict())]
    update_folder(run.model, card=card)

    # the run is complete
    status = {
        "status": "finished",
        "best_epoch": progress.best_epoch,
        "seconds": progress.seconds(),
    }
    run.write("run.json", {**summary, **status})
