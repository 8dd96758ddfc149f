"""Evaluate a model on a split: predictions, one label set, one report."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from ke2nt.data.sample import FaceSplit
from ke2nt.data.tensors import FaceTensors
from ke2nt.evaluation.options import ScoringOptions
from ke2nt.evaluation.predictions import compute_predictions
from ke2nt.evaluation.score import Evaluation, score_predictions
from ke2nt.labels import map_labels
from ke2nt.models.prior_values import PriorLike
from ke2nt.models.set_prior import assumed_prior
from ke2nt.runtime.devices import resolve_precision

__all__ = ["EvaluationOptions", "decode_for_model", "evaluate_model"]


@dataclass(frozen=True)
class EvaluationOptions(ScoringOptions):
    """How to predict and score a split; the model is moved to the device.

    Attributes:
        flip_tta: Average the probabilities of each image and its mirror image.
        embeddings: Keep the expression embeddings.
        prior: Class shares that the probabilities assume, see `ke2nt.models.prior_values`; None for
            the model's.
    """

    flip_tta: bool = False
    embeddings: bool = False
    prior: PriorLike | None = None


def decode_for_model(model: Any, split: FaceSplit, **options: Any) -> FaceTensors:
    """Decode a split as a model needs it; options are those of `FaceTensors`."""
    preprocessing = model.preprocessing
    return FaceTensors(split, preprocessing.image_size, **preprocessing.resizing(), **options)


def evaluate_model(
    model: Any,
    images: FaceTensors | FaceSplit,
    options: EvaluationOptions | None = None,
    **fields: Any,
) -> Evaluation:
    """Predict a split and score it.

    Args:
        model: A recognizer with `classes` and `preprocessing`.
        images: A split, or one already decoded at the model's image size.
        options: How to predict and score; the defaults of `EvaluationOptions` unless given.
        **fields: Fields of `EvaluationOptions` to change, such as `flip_tta=True`.

    Raises:
        LabelError: The label sets do not fit under the policy; raised before any prediction.
        DataError: No image can be read or scored.

    Example:
        >>> evaluate_model(model, split, policy="drop", device="cuda").report.uar
    """
    options = replace(options or EvaluationOptions(), **fields)

    # Label sets that do not fit are found before any image is decoded.
    split = images if isinstance(images, FaceSplit) else images.split
    map_labels(split.classes, model.classes, policy=options.policy, merge=options.merge)

    # A split that is already decoded is used as it is.
    if isinstance(images, FaceSplit):
        images = decode_for_model(model, split, quiet=options.quiet)
    with assumed_prior(model, options.prior):
        calibration = getattr(model, "calibration", None)
        prior = {} if calibration is None else calibration.prior
        predictions = compute_predictions(
            model,
            images,
            flip_tta=options.flip_tta,
            embeddings=options.embeddings,
            **options.computing(),
        )

    # The settings name the precision and device that were used, not those requested.
    device = next(model.parameters()).device
    return score_predictions(
        predictions,
        **options.scoring(),
        settings={
            "dataset": split.dataset,
            "split": split.split,
            "image_size": images.image_size,
            "flip_tta": options.flip_tta,
            "precision": resolve_precision(options.precision, device),
            "device": device.type,
            **({"prior": dict(prior)} if prior else {}),
        },
    )
