"""The HTML report of a training run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ke2nt.config.schema import TrainConfig
from ke2nt.data.tensors import FaceTensors
from ke2nt.evaluation.score import Evaluation
from ke2nt.models.base import ExpressionModel
from ke2nt.pages.faces import pick_faces
from ke2nt.pages.render import write_report
from ke2nt.pages.run_report import PromptMap, RunReport
from ke2nt.training.progress import Progress
from ke2nt.training.run_directory import RunDirectory

__all__ = ["write_run_report"]


def write_run_report(
    run: RunDirectory,
    config: TrainConfig,
    model: ExpressionModel,
    evaluation: Evaluation,
    progress: Progress,
    images: FaceTensors,
    facts: Mapping[str, Any],
    *,
    title: str | None = None,
    failed: Mapping[str, str] | None = None,
    warnings: Sequence[str] = (),
) -> None:
    """Write `report.html`: figures, faces, curves, prompts, provenance.

    Args:
        run: Where to write it.
        config: The run's configuration.
        model: The kept model.
        evaluation: Its figures on `images`.
        progress: The run's log.
        images: The evaluated split.
        facts: Provenance: versions, seed, command.
        title: Headline; None for backbone and dataset.
        failed: Sample name → reason, of further images that could not be read.
        warnings: Shown at the top.
    """
    split = images.split
    rule = ", ".join(f"{key} {value}" for key, value in config.data.options.items())
    write_report(
        run.report,
        RunReport(
            title=title or f"{config.model.backbone} on {split.dataset}",
            data=f"{len(evaluation.predictions)} images of {split.dataset}, split {split.split}"
            + (f" ({rule})" if rule else "")
            + f"; epoch {progress.best_epoch} was kept",
            metrics=evaluation.report,
            labels=evaluation.mapping.describe(),
            faces=pick_faces(evaluation, images, seed=config.seed),
            failed=tuple({**(failed or {}), **dict(evaluation.failed)}.items()),
            records=progress.records,
            text=PromptMap.from_bank(model.bank) if model.bank is not None else None,
            config=config.model_dump(mode="json"),
            provenance=facts,
            command=facts.get("command"),
            warnings=warnings,
        ),
    )
