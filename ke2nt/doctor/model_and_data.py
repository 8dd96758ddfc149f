"""Checks of one model and of one dataset."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from ke2nt.checkpoints.model_folder import find_model_folder
from ke2nt.datasets.catalog import get_reader
from ke2nt.datasets.info import split_info
from ke2nt.doctor.findings import Finding, Level
from ke2nt.models.load import load_model

if TYPE_CHECKING:
    from ke2nt.models.base import ExpressionModel

__all__ = ["check_dataset", "check_model"]


def check_model(name: str) -> Iterator[Finding]:
    """Check that a model loads, computes finite logits, and is calibrated."""
    model = load_model(find_model_folder(name))
    problem = _find_non_finite(model)
    if problem is not None:
        yield Finding("model", name, "broken", problem, f"ke2nt train --resume {name}")
        return

    size = model.preprocessing.image_size
    summary = f"{len(model.classes)} classes, {size} px: {', '.join(model.classes)}"
    yield Finding("model", name, "ok", summary)
    yield _check_calibration(name, model)


def _find_non_finite(model: ExpressionModel) -> str | None:
    """Return what is NaN or infinite: a weight, or the logits of a plain gray image."""
    for weight, tensor in model.state_dict().items():
        if not tensor.float().isfinite().all():
            return f"weights such as {weight} are NaN or infinite"

    size = model.preprocessing.image_size
    gray = torch.full((1, 3, size, size), 128, dtype=torch.uint8)
    with torch.inference_mode():
        logits = model(model.preprocessing.normalize(gray)).logits
    return None if logits.isfinite().all() else "its logits are NaN or infinite"


def _check_calibration(name: str, model: ExpressionModel) -> Finding:
    calibration = model.calibration
    if calibration is None:
        fix = f"ke2nt calibrate {name} --dataset NAME --root DIR --split val"
        return Finding("model", "calibration", "note", "its probabilities are raw scores", fix)
    if calibration.transferred:
        message = "fitted for other class texts; only approximate for these"
        return Finding("model", "calibration", "note", message)

    data = f"{calibration.fitted_on.get('dataset')} {calibration.fitted_on.get('split')}"
    message = f"{calibration.method} scaling, fitted on {data}"
    return Finding("model", "calibration", "ok", message)


def check_dataset(
    name: str, root: str | Path | None, options: Mapping[str, Any]
) -> Iterator[Finding]:
    """Count the images of each split; a dataset without any image is broken."""
    reader = get_reader(name, root, options)
    infos = {split: split_info(reader.index(split)) for split in reader.splits}

    # missing images are a problem only if there are no others: splits are often kept apart
    has_images = any(info["images_present"] for info in infos.values())
    for split, info in infos.items():
        missing = info["images_missing"]
        level: Level = "ok"
        if not has_images:
            level = "broken"
        elif missing:
            level = "note"

        message = f"{info['images_present']:,} images"
        if missing:
            message += f", {missing:,} are missing"
        fix = f"ke2nt data check {name} {reader.root} --split {split}"
        yield Finding("dataset", f"{name} {split}", level, message, None if level == "ok" else fix)
