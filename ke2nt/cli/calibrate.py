"""`ke2nt calibrate`."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ke2nt.cli.calibration_tables import compare_with_stored, show_calibration
from ke2nt.cli.evaluation_tables import training_notes
from ke2nt.cli.names import check_model_name
from ke2nt.cli.option_groups import with_option_groups
from ke2nt.cli.options import (
    BatchSizeOption,
    DatasetOptions,
    DeviceOption,
    LabelOptions,
    OutputOptions,
    resolve_device,
)
from ke2nt.cli.output import print_json
from ke2nt.errors import CheckpointError, DataError
from ke2nt.runtime.formatting import percent

if TYPE_CHECKING:
    import numpy as np

    from ke2nt.evaluation.calibration_scores import CalibrationScores
    from ke2nt.evaluation.predictions import Predictions
    from ke2nt.models.base import ExpressionModel
    from ke2nt.models.calibration import Calibration
    from ke2nt.predict.face_settings import FaceSettings

__all__ = ["calibrate"]

_MIN_FACES = 200  # with fewer, a temperature may be off by a fifth

# n faces without an error show with 95 % confidence that fewer than 3/n of all are wrong
_RULE_OF_THREE = 3.0


class _Method(StrEnum):
    temperature = "temperature"
    vector = "vector"


@dataclass(frozen=True)
class _CalibrationData(DatasetOptions):
    split: Annotated[
        str, typer.Option("--split", help="A split that the model was not trained on.")
    ] = "val"


@dataclass(frozen=True)
class _FitOptions:
    """How the calibration is fitted."""

    method: Annotated[
        _Method, typer.Option("--method", help="vector: a weight and a bias for each class.")
    ] = _Method.temperature
    folds: Annotated[
        int, typer.Option("--folds", min=2, help="Folds for the metrics after calibration.")
    ] = 5
    seed: Annotated[int, typer.Option("--seed", min=0, help="Random seed of the folds.")] = 0
    clean_only: Annotated[
        bool,
        typer.Option("--clean-only", help="Fit to the images alone, without degraded copies."),
    ] = False
    force: Annotated[
        bool, typer.Option("--force", help=f"Fit even to fewer than {_MIN_FACES} images.")
    ] = False

    def arguments(self) -> dict[str, Any]:
        """Return the arguments that the functions of the fit share."""
        return {"method": self.method.value, "folds": self.folds, "seed": self.seed}


@dataclass(frozen=True)
class _ThresholdOptions:
    """Which predictions are withheld; one option at most."""

    max_risk: Annotated[
        float | None,
        typer.Option(
            "--max-risk",
            min=0,
            max=1,
            help="Withhold low-confidence predictions so that at most this share of the others is "
            "wrong.",
        ),
    ] = None
    coverage: Annotated[
        float | None,
        typer.Option(
            "--coverage",
            min=0,
            max=1,
            help="Withhold low-confidence predictions, but make this share of them.",
        ),
    ] = None
    min_confidence: Annotated[
        float | None,
        typer.Option(
            "--min-confidence", min=0, max=1, help="Withhold predictions below this confidence."
        ),
    ] = None

    def targets(self) -> dict[str, float | None]:
        """Return the arguments of `add_threshold`; empty if no threshold is requested."""
        values = {
            "risk": self.max_risk,
            "coverage": self.coverage,
            "confidence": self.min_confidence,
        }
        return {} if set(values.values()) == {None} else values


@with_option_groups
def calibrate(
    run: Annotated[Path, typer.Argument(help="A run directory or a saved model's folder.")],
    data: _CalibrationData,
    labels: LabelOptions,
    fit: _FitOptions,
    threshold: _ThresholdOptions,
    output: OutputOptions,
    batch_size: BatchSizeOption = 128,
    device: DeviceOption = None,
) -> None:
    """Calibrate a model's probabilities on validation images, and store the calibration in its
    folder.

    The fit weighs the images and degraded copies of them equally, so that predictions for worse
    images are not too confident. Also fits the intensity scale: 0 is the median neutral face, 1 the
    median face of a class.

    Example: ke2nt calibrate runs/ferplus --dataset ferplus --root DIR --max-risk 0.05
    """
    # names are checked before torch is imported
    _check_folder(run)
    check_model_name(run)
    reader = data.open_reader()

    from ke2nt.checkpoints.card_facts import run_facts
    from ke2nt.checkpoints.model_folder import find_model_folder, update_folder
    from ke2nt.evaluation.calibration_scores import compute_calibration_scores, drop_classes
    from ke2nt.labels import map_labels
    from ke2nt.models.load import load_model
    from ke2nt.training.seen_images import count_seen_images, load_split_of_run

    # everything else that can be wrong is found before the images are decoded
    compute_device = resolve_device(device)
    folder = find_model_folder(run)
    model = load_model(folder)
    split = load_split_of_run(run, reader, data.split).spread(data.limit)
    mapping = map_labels(split.classes, model.classes, **labels.arguments())
    split = drop_classes(split, mapping)
    _check_count(len(split), force=fit.force)

    scores = compute_calibration_scores(
        model,
        split,
        mapping,
        degraded=not fit.clean_only,
        batch_size=batch_size,
        device=compute_device,
        precision="fp32",
        quiet=output.hides_progress,
    )
    _check_count(len(scores.targets), force=fit.force)

    # the facts of everything that the numbers depend on
    fitted_on = {
        "dataset": split.dataset,
        "split": split.split,
        "options": data.reader_options(),
        "n": len(scores.targets),
        "degraded": scores.degraded is not None,
        **({} if mapping.policy == "strict" else {"labels": mapping.policy}),
        **({"merge": dict(mapping.merged)} if mapping.merged else {}),
    }
    calibration = _fit(scores, fitted_on, fit, threshold)
    settings, scale_notes = _fit_intensity(model, scores.predictions, scores.targets)

    # what a reader of the numbers must know comes with them
    notes = [f"unreadable: {name}: {why}" for name, why in scores.predictions.failed]
    notes += [mapping.describe()] if mapping.policy != "strict" or mapping.merged else []
    notes += _check_evidence(calibration, threshold.max_risk, len(scores.targets))
    notes += compare_with_stored(calibration, model.calibration)
    notes += scale_notes
    seen = count_seen_images(run, split, scores.digests)
    if training_notes(seen, model.card, split) or (seen is None and split.split == "train"):
        count = f" ({seen.count:,} of these {seen.total:,})" if seen and seen.count else ""
        notes.append(f"Training images make a model overconfident; use other images{count}.")

    # everything goes into the folder at once: a model is never half calibrated
    card = {**run_facts(folder), "predict": settings.to_dict()}
    update_folder(folder, calibration=calibration, card=card)
    if output.json:
        facts = {**calibration.to_dict(), "predict": settings.to_dict(), "notes": notes}
        print_json({"model": str(folder), **facts})
        return
    show_calibration(calibration, model.classes, str(folder), notes)


def _check_folder(run: Path) -> None:
    if not run.exists():
        raise CheckpointError(
            "a calibration is stored in the model's folder",
            expected="a run directory, or a folder that save_pretrained wrote",
            found="no such folder",
            where=run,
            hint="Models of the package and the hub are read-only; save_pretrained makes a folder.",
        )


def _check_count(count: int, *, force: bool) -> None:
    """Refuse a fit to few images, which would replace a better one.

    Raises:
        DataError: There are too few, and the fit is not forced.
    """
    if count < _MIN_FACES and not force:
        raise DataError(
            "too few images to calibrate with",
            expected=f"at least {_MIN_FACES} readable images",
            found=count,
            hint="Use more images, or --force.",
        )


def _fit(
    scores: CalibrationScores,
    fitted_on: dict[str, Any],
    fit: _FitOptions,
    threshold: _ThresholdOptions,
) -> Calibration:
    """Fit the calibration, and the confidence threshold if one is requested."""
    from ke2nt.evaluation.fit_calibration import add_threshold, cross_fit_logits, fit_calibration
    from ke2nt.evaluation.temperature import softmax

    logits, labels, degraded = scores.arrays
    if fit.method is _Method.vector and len(scores.columns) < len(scores.predictions.classes):
        raise DataError(
            "vector scaling needs images of every class of the model",
            hint="Use temperature scaling.",
        )

    arguments = {"degraded": degraded, **fit.arguments()}
    calibration = fit_calibration(logits, labels, fitted_on=fitted_on, **arguments)
    targets = threshold.targets()
    if not targets:
        return calibration

    # a threshold on the images of the fit itself would be too optimistic
    held_out = softmax(cross_fit_logits(logits, labels, **arguments))
    return add_threshold(calibration, held_out, labels, **targets)


def _fit_intensity(
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


def _check_evidence(calibration: Calibration, max_risk: float | None, count: int) -> list[str]:
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
