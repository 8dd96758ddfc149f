"""`ke2nt calibrate`."""

from __future__ import annotations

from collections.abc import Mapping
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
    PriorOption,
    resolve_device,
)
from ke2nt.cli.output import print_json
from ke2nt.errors import CheckpointError, ConfigError, DataError
from ke2nt.runtime.formatting import percent

if TYPE_CHECKING:
    import numpy as np

    from ke2nt.data.sample import FaceSplit
    from ke2nt.evaluation.calibration_scores import CalibrationScores
    from ke2nt.evaluation.predictions import Predictions
    from ke2nt.labels import LabelMapping
    from ke2nt.models.base import ExpressionModel
    from ke2nt.models.calibration import Calibration
    from ke2nt.predict.face_settings import FaceSettings
    from ke2nt.training.seen_images import SeenImages

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
class _PriorOptions:
    """Which class shares the probabilities assume."""

    prior: PriorOption = None
    shares_of: Annotated[
        str | None,
        typer.Option(
            "--shares-of",
            metavar="SPLIT",
            help="Take the class shares of the training data from the labels of this split, for "
            "models that do not store them.",
        ),
    ] = None


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
class _FamiliarityOptions:
    """How the model learns what is no face, and what is unlike the faces that it knows."""

    reject_rate: Annotated[
        float,
        typer.Option(
            "--reject-rate", help="Share of these faces that may be taken for no face (not 0)."
        ),
    ] = 0.005
    unfamiliar_rate: Annotated[
        float,
        typer.Option(
            "--unfamiliar-rate", help="Share of these faces that may be flagged as unfamiliar."
        ),
    ] = 0.01
    no_familiarity: Annotated[
        bool, typer.Option("--no-familiarity", help="Leave the stored familiarity as it is.")
    ] = False

    def check(self) -> None:
        """Check the rates.

        Raises:
            ConfigError: A rate is not between 0 and 1.
        """
        rates = {"--reject-rate": self.reject_rate, "--unfamiliar-rate": self.unfamiliar_rate}
        for option, rate in rates.items():
            if not 0 < rate < 1:
                raise ConfigError(
                    f"{option} is out of range", expected="between 0 and 1", found=rate
                )


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

    by_class: Annotated[
        bool,
        typer.Option(
            "--by-class",
            help="Meet --max-risk or --coverage for each predicted class, so that rare ones are "
            "not always withheld.",
        ),
    ] = False

    def check(self) -> None:
        """Check that thresholds by class have a target.

        Raises:
            ConfigError: They have none.
        """
        if self.by_class and self.max_risk is None and self.coverage is None:
            raise ConfigError("--by-class needs a target", expected="--max-risk or --coverage")

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
    prior: _PriorOptions,
    familiarity: _FamiliarityOptions,
    output: OutputOptions,
    batch_size: BatchSizeOption = 128,
    device: DeviceOption = None,
) -> None:
    """Calibrate a model's probabilities on validation images, and store the calibration in its
    folder.

    The fit weighs the images and degraded copies of them equally, so that predictions for worse
    images are not too confident. Probabilities assume the class shares of the training data, or
    those of --prior, which is stored, too. Also fits the intensity scale (0 is the median neutral
    face, 1 the median face of a class), and what tells images without a face and unfamiliar faces
    from these.

    Example: ke2nt calibrate runs/ferplus --dataset ferplus --root DIR --max-risk 0.05
    """
    # names are checked before torch is imported
    _check_folder(run)
    check_model_name(run)
    threshold.check()
    familiarity.check()
    reader = data.open_reader()
    if prior.shares_of is not None:
        reader.check_split(prior.shares_of)

    from ke2nt.checkpoints.card_facts import run_facts
    from ke2nt.checkpoints.model_folder import find_model_folder, update_folder
    from ke2nt.evaluation.calibration_scores import compute_calibration_scores, drop_classes
    from ke2nt.evaluation.familiarity_scores import compute_familiarity
    from ke2nt.labels import map_labels
    from ke2nt.models.load import load_model
    from ke2nt.models.set_prior import set_prior
    from ke2nt.training.class_shares import split_prior
    from ke2nt.training.seen_images import count_seen_images, load_split_of_run

    # everything else that can be wrong is found before the images are decoded
    compute_device = resolve_device(device)
    folder = find_model_folder(run)
    model = load_model(folder)
    split = load_split_of_run(run, reader, data.split).spread(data.limit)
    mapping = map_labels(split.classes, model.classes, **labels.arguments())
    split = drop_classes(split, mapping)
    _check_count(len(split), force=fit.force)
    if prior.shares_of is not None:
        shares = split_prior(
            load_split_of_run(run, reader, prior.shares_of),
            model.classes,
            model.card.get("config") or {},
        )
        model.card = {**model.card, "class_prior": shares.to_dict()}
    replaced = model.calibration
    model.calibration = None
    set_prior(model, prior.prior or "natural")  # a prior that does not fit is found early

    computing: dict[str, Any] = {
        "batch_size": batch_size,
        "device": compute_device,
        "precision": "fp32",
        "quiet": output.hides_progress,
    }
    degraded = not fit.clean_only
    scores = compute_calibration_scores(model, split, mapping, degraded=degraded, **computing)
    _check_count(len(scores.targets), force=fit.force)

    fitted_on = _describe_data(split, data, scores, mapping)
    calibration = _fit(model, scores, fitted_on, fit, threshold, prior.prior or "natural")
    settings, scale_notes = _fit_intensity(model, scores.predictions, scores.targets)
    known = None
    if not familiarity.no_familiarity:
        known = compute_familiarity(
            model,
            split,
            scores,
            side=settings.face_pixels or model.preprocessing.image_size,
            reject=familiarity.reject_rate,
            unfamiliar=familiarity.unfamiliar_rate,
            folds=fit.folds,
            seed=fit.seed,
            **computing,
        )

    # what a reader of the numbers must know comes with them
    notes = [
        *_data_notes(scores, mapping),
        *_check_evidence(calibration, threshold.max_risk, len(scores.targets)),
        *compare_with_stored(calibration, replaced),
        *scale_notes,
        *_seen_notes(count_seen_images(run, split, scores.digests), model.card, split),
    ]

    # everything goes into the folder at once: a model is never half calibrated
    card = {**run_facts(folder), "predict": settings.to_dict()}
    if "class_prior" in model.card:
        card["class_prior"] = model.card["class_prior"]
    update_folder(folder, calibration=calibration, familiarity=known, card=card)
    if output.json:
        facts = {**calibration.to_dict(), "predict": settings.to_dict(), "notes": notes}
        facts["familiarity"] = None if known is None else known.to_dict()
        print_json({"model": str(folder), **facts})
        return
    show_calibration(calibration, known, model.classes, str(folder), notes)


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


def _describe_data(
    split: FaceSplit, data: _CalibrationData, scores: CalibrationScores, mapping: LabelMapping
) -> dict[str, Any]:
    """Facts of everything that the numbers depend on."""
    facts: dict[str, Any] = {
        "dataset": split.dataset,
        "split": split.split,
        "options": data.reader_options(),
        "n": len(scores.targets),
        "degraded": scores.degraded is not None,
    }
    if mapping.policy != "strict":
        facts["labels"] = mapping.policy
    if mapping.merged:
        facts["merge"] = dict(mapping.merged)
    return facts


def _data_notes(scores: CalibrationScores, mapping: LabelMapping) -> list[str]:
    """Say which images could not be read, and which labels stand for others."""
    notes = [f"unreadable: {name}: {why}" for name, why in scores.predictions.failed]
    if mapping.policy != "strict" or mapping.merged:
        notes.append(mapping.describe())
    return notes


def _seen_notes(seen: SeenImages | None, card: Mapping[str, Any], split: FaceSplit) -> list[str]:
    """Say whether the model was trained on these images."""
    if not training_notes(seen, card, split) and (seen is not None or split.split != "train"):
        return []
    count = f" ({seen.count:,} of these {seen.total:,})" if seen and seen.count else ""
    return [f"Training images make a model overconfident; use other images{count}."]


def _fit(
    model: ExpressionModel,
    scores: CalibrationScores,
    fitted_on: dict[str, Any],
    fit: _FitOptions,
    threshold: _ThresholdOptions,
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
    if fit.method is _Method.vector:
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
    if fit.method is _Method.temperature:
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
