"""The HTML report of a training run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ke2nt.data.tensors import FaceTensors
from ke2nt.evaluation.score import Evaluation
from ke2nt.models.base import ExpressionModel
from ke2nt.pages.faces import pick_faces
from ke2nt.pages.render import write_report
from ke2nt.pages.run_report import PromptMap, RunReport

__all__ = ["write_training_report"]


def write_training_report(
    path: Path,
    *,
    config: Mapping[str, Any],
    model: ExpressionModel,
    evaluation: Evaluation,
    images: FaceTensors,
    records: Sequence[Mapping[str, Any]],
    best_epoch: int | None,
    provenance: Mapping[str, Any],
    title: str | None = None,
    failed: Mapping[str, str] | None = None,
    warnings: Sequence[str] = (),
) -> None:
    """Write a page with metrics, faces, curves, prompts and provenance.

    Args:
        path: HTML file to write.
        config: Configuration of the run, as JSON.
        model: The kept model.
        evaluation: Its evaluation on `images`.
        images: The evaluated split.
        records: Log records, one for each epoch.
        best_epoch: Epoch of the kept model.
        provenance: Versions, seed and command.
        title: Headline; None for backbone and dataset.
        failed: Sample name → reason, of further images that could not be read.
        warnings: Shown at the top.
    """
    split = images.split
    options = ", ".join(f"{key} {value}" for key, value in config["data"]["options"].items())
    data = f"{len(evaluation.predictions)} images of {split.dataset}, split {split.split}"
    data += f" ({options})" if options else ""

    report = RunReport(
        title=title or f"{config['model']['backbone']} on {split.dataset}",
        data=f"{data}; epoch {best_epoch} was kept",
        metrics=evaluation.report,
        labels=evaluation.mapping.describe(),
        faces=pick_faces(evaluation, images, seed=config["seed"]),
        failed=tuple({**(failed or {}), **dict(evaluation.failed)}.items()),
        records=records,
        text=PromptMap.from_bank(model.bank) if model.bank is not None else None,
        config=config,
        provenance=provenance,
        command=provenance.get("command"),
        warnings=warnings,
    )
    write_report(path, report)
