"""What `ke2nt calibrate` fits: probabilities, thresholds and the intensity scale."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from ke2nt.cli.calibration_options import CalibrationMethod, FitOptions, ThresholdOptions
from ke2nt.errors import DataError
from ke2nt.runtime.formatting import percent

if TYPE_CHECKING:
    import numpy as np

    from ke2nt.evaluation.calibration_scores import CalibrationScores
    from ke2nt.evaluation.predictions import Predictions
    from ke2nt.models.base import ExpressionModel
    from ke2nt.models.calibration import Calibration
    from ke2nt.predict.face_settings import FaceSettings

__all__ = ["check_evidence", "fit_intensity", "fit_model_calibration"]

# n faces without an error show with 95 % confidence that fewer than 3/n of all are wrong
_RULE_OF_THREE = 3.0


def fit_model_calibration(
    model: ExpressionModel,
    scores: CalibrationScores,
    fitted_on: dict[str, Any],
    fit: FitOptions,
    threshold: ThresholdOptions,
    prior: str,
) -> Calibration:
    """Fit the calibration, and the confidence thresholds if they are requested."""
    import numpy as np

    from ke2nt.evaluation.class_thresholds import add_class_thresholds
    from ke2nt.evaluation.fit_calibration import add_threshold, cross_fit_logits, fit_calibration
    from ke2nt.evaluation.temperature import softmax
    from ke2nt.models.set_prior import assumed_prior, set_prior

    logits, labels, degraded = scores.arrays
    is_partial = len(scores.columns) < len(scores.predictions.classes)
    if fit.method is CalibrationMethod.vector:
        if is_partial:
            raise DataError(
                "vector scaling needs images of every class of the model",
                hint="Use temperature scaling.",
            )
        # its biases bring the posteriors to the class shares of these images
        shares = np.bincount(labels, minlength=logits.shape[1]) / len(labels)
        fitted_on = {**fitted_on, "class_shares": shares.tolist()}

    # the images have the natural shares; sampling or an adjustment may have left others in the
    # logits, which no temperature should make up for
    home = np.zeros(len(model.classes))
    with assumed_prior(model, "natural"):
        if model.calibration is not None and model.calibration.offsets is not None:
            home = np.array(model.calibration.offsets)
    home = home[scores.columns]
    arguments = {"degraded": degraded, "offsets": home if home.any() else None, **fit.arguments()}
    calibration = fit_calibration(logits, labels, fitted_on=fitted_on, **arguments)

    # the prior of all classes, of which the images may show fewer
    model.calibration = replace(calibration, offsets=None)
    set_prior(model, prior)
    calibration = model.calibration
    targets = threshold.targets()
    if not targets:
        return calibration

    # a threshold on the images of the fit itself would be too optimistic
    held_out = cross_fit_logits(logits, labels, **arguments)
    if fit.method is CalibrationMethod.temperature:
        held_out = held_out - home
    if calibration.offsets is not None:
        held_out = held_out + np.array(calibration.offsets)[scores.columns]
    probabilities = softmax(held_out)
    calibration = add_threshold(calibration, probabilities, labels, **targets)
    if not threshold.by_class:
        return calibration
    if is_partial:
        raise DataError("thresholds by class need images of every class of the model")
    return add_class_thresholds(calibration, probabilities, labels, model.classes)


def fit_intensity(
    model: ExpressionModel, predictions: Predictions, labels: np.ndarray
) -> tuple[FaceSettings, list[str]]:
    """Return the model's face settings with a new intensity scale, and notes if there is none."""
    import torch

    from ke2nt.predict.face_settings import FaceSettings
    from ke2nt.predict.fit_intensity import fit_intensity_scale
    from ke2nt.predict.intensity import compute_intensity

    settings = FaceSettings.from_model(model)
    if model.bank is None:
        return settings, []

    # (N, K) how far each face moved towards each class, on the raw scale
    assert predictions.logits is not None
    assert predictions.embeddings is not None
    embeddings = torch.from_numpy(predictions.embeddings)
    moves = compute_intensity(embeddings, None, model.bank.to("cpu")).double().numpy()
    predicted = predictions.logits[0].argmax(axis=1)
    try:
        scale = fit_intensity_scale(moves, labels, predicted, model.classes)
    except DataError as error:
        kept = "" if settings.intensity is None else "; the stored scale is kept"
        return settings, [f"no intensity scale: {error}{kept}"]
    return replace(settings, intensity=scale), []


def check_evidence(calibration: Calibration, max_risk: float | None, count: int) -> list[str]:
    """Return a note if there are too few faces to support the requested risk."""
    if max_risk is None:
        return []
    answered = round(calibration.threshold["coverage"] * count)
    if answered * max_risk >= _RULE_OF_THREE:
        return []

    # too few even if none of them were wrong
    return [
        f"The threshold is based on {answered} faces: too few to tell that at most "
        f"{percent(max_risk)} of predictions are wrong. Use more images."
    ]
