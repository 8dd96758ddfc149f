"""A trained model in half precision, as it comes with the package."""

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
    """A model with the facts of its run for its card, without paths of this machine.

    Args:
        run: A run directory, a model's folder or its name.
        name: What the model will be called, for the card.
        metrics: Further files of figures, from `ke2nt evaluate --out`.

    Raises:
        CheckpointError: The model, a file of its run or a file of figures cannot be read.
    """
    folder = find_model_folder(run)
    model = load_model(folder)
    card = {**model.card, **run_facts(folder)}
    figures = [*card.get("evaluations", ()), *map(read_metrics, metrics)]
    model.card = {**card, "name": name, "evaluations": figures}
    if command := model.provenance.get("command"):
        model.provenance["command"] = public_text(command)
    return model


def read_metrics(path: Path) -> dict[str, Any]:
    """What a card keeps of a file of figures.

    Raises:
        CheckpointError: It cannot be read.
    """
    try:
        value: Mapping[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise CheckpointError("cannot read the figures", where=path, found=error) from error
    return evaluation_facts(value)


def bundle_model(
    model: ExpressionModel,
    folder: Path,
    images: FaceTensors,
    *,
    max_changed: int = 0,
    max_difference: float = 0.01,
) -> Comparison:
    """Save a model in half precision, if that changes next to none of its answers.

    Args:
        model: The model; its card says what it is called.
        folder: New, empty, or an older saved model.
        images: Faces to compare the answers on.
        max_changed: Most faces that may get another answer.
        max_difference: Largest difference of a probability that is allowed.

    Returns:
        The comparison of full and half precision.

    Raises:
        ModelError: Half precision changes more, or the files exceed `MAX_BYTES`; nothing is
            written.
        CheckpointError: The folder holds other files, or a weight is out of half precision's range.
    """
    with tempfile.TemporaryDirectory() as aside:
        trial = Path(aside) / "model"
        model.save_pretrained(trial, dtype=torch.float16)
        size = sum(file.stat().st_size for file in trial.iterdir())
        before = compute_predictions(model, images, precision="fp32")
        after = compute_predictions(load_model(trial), images, precision="fp32")
    found = compare_probabilities(before.probabilities, after.probabilities, find_labels(before))
    if size > MAX_BYTES:
        raise ModelError(
            "the model is too large to come with the package",
            expected=f"at most {MAX_BYTES / 1e6:.0f} MB in half precision",
            found=f"{size / 1e6:.1f} MB",
            hint="Train a smaller image encoder.",
        )
    if found.changed > max_changed or not found.max_difference <= max_difference:
        raise ModelError(
            "half precision changes the model's answers",
            expected=f"at most {max_changed} other answers, probabilities within "
            f"{max_difference:g}",
            found=f"{found.changed} of {found.n}, a difference of {found.max_difference:.3g}",
            hint="Raise --max-changed or --max-difference if that is good enough.",
        )
    model.save_pretrained(folder, dtype=torch.float16)
    return found
