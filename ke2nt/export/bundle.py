"""Trained models prepared for sharing: facts for the card, and half precision."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from ke2nt.checkpoints.card_facts import evaluation_facts, public_text, run_facts
from ke2nt.checkpoints.model_folder import find_model_folder
from ke2nt.data.tensors import FaceTensors
from ke2nt.errors import CheckpointError, ModelError
from ke2nt.evaluation.predictions import compute_predictions
from ke2nt.export.compare import Comparison, compare_probabilities, find_labels
from ke2nt.models.base import ExpressionModel
from ke2nt.models.load import load_model

__all__ = ["MAX_BYTES", "bundle_model", "load_for_sharing", "read_metrics"]

MAX_BYTES = 25_000_000


def load_for_sharing(
    run: str | Path, *, name: str, metrics: Sequence[Path] = ()
) -> ExpressionModel:
    """Load a model with the facts of its run for its card, without paths of this machine.

    Args:
        run: A run directory, the folder of a model or its name.
        name: Name under which the model will be shared, for the card.
        metrics: Additional metrics files, from `ke2nt evaluate --out`.

    Raises:
        CheckpointError: The model, a file of its run or a metrics file cannot be read.
    """
    folder = find_model_folder(run)
    model = load_model(folder)

    card = {**model.card, **run_facts(folder)}
    evaluations = [*card.get("evaluations", ()), *map(read_metrics, metrics)]
    model.card = {**card, "name": name, "evaluations": evaluations}

    # the command line may name folders of this machine
    command = model.provenance.get("command")
    if command:
        model.provenance["command"] = public_text(command)
    return model


def read_metrics(path: Path) -> dict[str, Any]:
    """Read the part of a metrics file that a card keeps.

    Raises:
        CheckpointError: The file cannot be read.
    """
    try:
        value: Mapping[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise CheckpointError("cannot read the metrics", where=path, found=error) from error
    return evaluation_facts(value)


def bundle_model(
    model: ExpressionModel,
    folder: Path,
    images: FaceTensors,
    *,
    max_changed: int = 0,
    max_difference: float = 0.01,
) -> Comparison:
    """Save a model in half precision if that changes (almost) none of its predictions.

    Args:
        model: The model; its card holds its name.
        folder: A new or empty folder, or one with an older saved model.
        images: Faces on which the predictions are compared.
        max_changed: Maximum number of faces whose predicted class may change.
        max_difference: Maximum difference of a probability.

    Returns:
        The comparison of full and half precision.

    Raises:
        ModelError: Half precision changes more, or the files exceed `MAX_BYTES`; nothing is
            written.
        CheckpointError: The folder holds other files, or a weight exceeds the range of half
            precision.
    """
    # saved and loaded, so that the comparison is about the files themselves
    with tempfile.TemporaryDirectory() as temporary_folder:
        trial = Path(temporary_folder) / "model"
        model.save_pretrained(trial, dtype=torch.float16)
        size = sum(file.stat().st_size for file in trial.iterdir())
        before = compute_predictions(model, images, precision="fp32")
        after = compute_predictions(load_model(trial), images, precision="fp32")

    comparison = compare_probabilities(
        before.probabilities, after.probabilities, find_labels(before)
    )
    _check_size(size)
    _check_changes(comparison, max_changed, max_difference)
    model.save_pretrained(folder, dtype=torch.float16)
    return comparison


def _check_size(size: int) -> None:
    if size > MAX_BYTES:
        raise ModelError(
            "the model is too large to be bundled with the package",
            expected=f"at most {MAX_BYTES / 1e6:.0f} MB in half precision",
            found=f"{size / 1e6:.1f} MB",
            hint="Train a smaller image encoder.",
        )


def _check_changes(comparison: Comparison, max_changed: int, max_difference: float) -> None:
    # a NaN difference fails, too
    if comparison.changed > max_changed or not comparison.max_difference <= max_difference:
        raise ModelError(
            "half precision changes the model's predictions",
            expected=f"at most {max_changed} changed predictions, probabilities within "
            f"{max_difference:g}",
            found=f"{comparison.changed} of {comparison.n} changed, a difference of "
            f"{comparison.max_difference:.3g}",
            hint="Raise --max-changed or --max-difference if that is good enough.",
        )
