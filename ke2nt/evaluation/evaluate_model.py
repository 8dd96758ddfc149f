"""A model on a split: predictions, one label set, one report."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

from ke2nt.data.sample import FaceSplit
from ke2nt.data.tensors import FaceTensors
from ke2nt.evaluation.predictions import compute_predictions
from ke2nt.evaluation.score import Evaluation, score_predictions
from ke2nt.labels import LabelPolicy, map_labels
from ke2nt.runtime.devices import Precision, resolve_precision

__all__ = ["evaluate_model", "decode_for_model"]


def decode_for_model(model: Any, split: FaceSplit, **options: Any) -> FaceTensors:
    """Decode a split the way a model wants it; options are those of `FaceTensors`."""
    preprocessing = model.preprocessing
    return FaceTensors(
        split, preprocessing.image_size, interpolation=preprocessing.interpolation, **options
    )


def evaluate_model(
    model: Any,
    images: FaceTensors | FaceSplit,
    *,
    policy: LabelPolicy = "strict",
    merge: Mapping[str, str] | None = None,
    batch_size: int = 128,
    device: torch.device | str | None = None,
    precision: Precision = "fp32",
    flip_tta: bool = False,
    embeddings: bool = False,
    bootstrap: int = 1000,
    seed: int = 0,
    quiet: bool = True,
) -> Evaluation:
    """Predict a split and score it.

    Args:
        model: A recognizer with `classes` and `preprocessing`.
        images: A split, or one already decoded at the model's image size.
        policy: As in `score`.
        merge: As in `score`.
        batch_size: As in `predict`, as are device, precision, flip_tta, embeddings and quiet.
        bootstrap: As in `score`, as is seed.

    Raises:
        LabelError: The label sets do not fit under the policy; said before anything is predicted.
        DataError: No image can be read or scored.
    """
    split = images if isinstance(images, FaceSplit) else images.split
    map_labels(split.classes, model.classes, policy=policy, merge=merge)
    tensors = (
        decode_for_model(model, split, quiet=quiet) if isinstance(images, FaceSplit) else images
    )
    predictions = compute_predictions(
        model,
        tensors,
        batch_size=batch_size,
        device=device,
        precision=precision,
        flip_tta=flip_tta,
        embeddings=embeddings,
        quiet=quiet,
    )
    where = next(model.parameters()).device
    settings = {
        "dataset": split.dataset,
        "split": split.split,
        "image_size": tensors.image_size,
        "flip_tta": flip_tta,
        "precision": resolve_precision(precision, where),
        "device": where.type,
    }
    return score_predictions(
        predictions, policy=policy, merge=merge, bootstrap=bootstrap, seed=seed, settings=settings
    )
