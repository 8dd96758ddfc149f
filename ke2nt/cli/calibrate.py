"""`ke2nt calibrate`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ke2nt.cli.calibration_options import (
    MIN_FACES,
    CalibrationData,
    FamiliarityOptions,
    FitOptions,
    PriorOptions,
    ThresholdOptions,
)
from ke2nt.cli.calibration_tables import compare_with_stored, show_calibration
from ke2nt.cli.evaluation_tables import training_notes
from ke2nt.cli.names import check_model_name
from ke2nt.cli.option_groups import with_option_groups
from ke2nt.cli.options import (
    BatchSizeOption,
    DeviceOption,
    LabelOptions,
    OutputOptions,
    resolve_device,
)
from ke2nt.cli.output import print_json
from ke2nt.errors import CheckpointError, DataError

if TYPE_CHECKING:
    from ke2nt.data.sample import FaceSplit
    from ke2nt.evaluation.calibration_scores import CalibrationScores
    from ke2nt.labels import LabelMapping
    from ke2nt.training.seen_images import SeenImages

__all__ = ["calibrate"]


@with_option_groups
def calibrate(
    run: Annotated[Path, typer.Argument(help="A run directory or a saved model's folder.")],
    data: CalibrationData,
    labels: LabelOptions,
    fit: FitOptions,
    threshold: ThresholdOptions,
    prior: PriorOptions,
    familiarity: FamiliarityOptions,
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
    from ke2nt.cli.calibration_fit import check_evidence, fit_intensity, fit_model_calibration
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
    calibration = fit_model_calibration(
        model, scores, fitted_on, fit, threshold, prior.prior or "natural"
    )
    settings, scale_notes = fit_intensity(model, scores.predictions, scores.targets)
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
        *check_evidence(calibration, threshold.max_risk, len(scores.targets)),
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
    if count < MIN_FACES and not force:
        raise DataError(
            "too few images to calibrate with",
            expected=f"at least {MIN_FACES} readable images",
            found=count,
            hint="Use more images, or --force.",
        )


def _describe_data(
    split: FaceSplit, data: CalibrationData, scores: CalibrationScores, mapping: LabelMapping
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
