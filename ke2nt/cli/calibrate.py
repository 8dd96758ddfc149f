"""`ke2nt calibrate`."""

from __future__ import annotations

from dataclasses import replace
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ke2nt.cli.options import (
    DeviceOption,
    LimitOption,
    QuietFlag,
    ReaderOptions,
    RootOption,
    RuleOption,
    device_name,
    reader_options,
    spread,
)
from ke2nt.cli.output import JsonFlag, print_json, print_line, print_table
from ke2nt.errors import CheckpointError, DataError
from ke2nt.runtime.formatting import percent

if TYPE_CHECKING:
    from ke2nt.models.calibration import Calibration

__all__ = ["calibrate"]


_RULE_OF_THREE = 3.0  # n faces without an error show with 95 % that fewer than 3/n are wrong
_WHEN = ("before", "after", "after_same_data")


class _Method(StrEnum):
    temperature = "temperature"
    vector = "vector"


def calibrate(
    run: Annotated[Path, typer.Argument(help="A run directory or a saved model's folder.")],
    dataset: Annotated[
        str, typer.Option("--dataset", help="Dataset of `ke2nt data list`, or package.module.Name.")
    ],
    split: Annotated[
        str, typer.Option("--split", help="A split that the model was not trained on.")
    ] = "val",
    root: RootOption = None,
    rule: RuleOption = None,
    option: ReaderOptions = None,
    method: Annotated[
        _Method, typer.Option("--method", help="vector: a weight and a bias for each class.")
    ] = _Method.temperature,
    max_risk: Annotated[
        float | None,
        typer.Option(
            "--max-risk", min=0, max=1, help="Withhold answers so that at most this share is wrong."
        ),
    ] = None,
    coverage: Annotated[
        float | None,
        typer.Option("--coverage", min=0, max=1, help="Withhold answers, but give this share."),
    ] = None,
    min_confidence: Annotated[
        float | None,
        typer.Option("--min-confidence", min=0, max=1, help="Withhold answers below this."),
    ] = None,
    folds: Annotated[int, typer.Option("--folds", min=2, help="For the figures after.")] = 5,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Seed of the folds.")] = 0,
    batch_size: Annotated[int, typer.Option("--batch-size", min=1)] = 128,
    device: DeviceOption = None,
    limit: LimitOption = None,
    quiet: QuietFlag = False,
    json: JsonFlag = False,
) -> None:
    """Fit probabilities to what validation images show, and store that in the model's folder.

    So is the scale of intensity: 0 is the median neutral face, 1 the median one of a class.

    Example: ke2nt calibrate runs/ferplus --dataset ferplus --root DIR --max-risk 0.05
    """
    import numpy as np
    import torch

    from ke2nt.checkpoints.card_facts import run_facts
    from ke2nt.checkpoints.model_folder import find_model_folder, update_folder
    from ke2nt.datasets.catalog import get_reader
    from ke2nt.evaluation.evaluate_model import decode_for_model
    from ke2nt.evaluation.fit_calibration import add_threshold, cross_fit_logits, fit_calibration
    from ke2nt.evaluation.predictions import compute_predictions
    from ke2nt.evaluation.temperature import softmax
    from ke2nt.labels import map_labels
    from ke2nt.models.load import load_model
    from ke2nt.predict.face_settings import FaceSettings
    from ke2nt.predict.fit_intensity import fit_intensity_scale
    from ke2nt.predict.intensity import compute_intensity

    if not run.exists():
        raise CheckpointError(
            "a calibration is stored in the model's folder",
            expected="a run directory, or a folder that save_pretrained wrote",
            found="no such folder",
            where=run,
            hint="Models of the package and the hub are not written to: save_pretrained makes a "
            "folder of one.",
        )
    options = reader_options(option, rule)
    place = device_name(device)
    folder = find_model_folder(run)
    model = load_model(folder)
    stored = model.calibration
    data = spread(get_reader(dataset, root, options).load(split), limit)
    mapping = map_labels(data.classes, model.classes)
    images = decode_for_model(model, data, quiet=quiet or json)
    answers = compute_predictions(
        model,
        images,
        batch_size=batch_size,
        device=place,
        precision="fp32",
        embeddings=True,
        quiet=quiet or json,
    )
    assert answers.logits is not None
    assert answers.embeddings is not None
    logits, labels = answers.logits[0], np.array(mapping.index, dtype=np.int64)[answers.labels]
    facts = {"dataset": data.dataset, "split": data.split, "options": options, "n": len(labels)}
    fit: Any = {"method": method.value, "folds": folds, "seed": seed}
    calibration = fit_calibration(logits, labels, fitted_on=facts, **fit)
    if not (max_risk is coverage is min_confidence is None):
        targets = {"risk": max_risk, "coverage": coverage, "confidence": min_confidence}
        unseen = softmax(cross_fit_logits(logits, labels, **fit))
        calibration = add_threshold(calibration, unseen, labels, **targets)
    notes = [f"unreadable: {name}: {reason}" for name, reason in answers.failed]
    if max_risk is not None:
        answered = round(calibration.threshold["coverage"] * len(labels))
        if answered * max_risk < _RULE_OF_THREE:  # not even if none of them were wrong
            notes.append(
                f"The threshold rests on {answered} faces: too few to tell that at most "
                f"{percent(max_risk)} of answers are wrong. Use more images."
            )
    notes += _compared(calibration, stored)
    use = FaceSettings.from_model(model)
    try:
        if model.bank is not None:
            embeddings = torch.from_numpy(answers.embeddings)
            moves = compute_intensity(embeddings, None, model.bank.to("cpu")).double().numpy()
            scale = fit_intensity_scale(moves, labels, logits.argmax(axis=1), model.classes)
            use = replace(use, intensity=scale)
    except DataError as error:
        kept = "" if use.intensity is None else "; the scale that was stored stays"
        notes.append(f"no scale of intensity: {error}{kept}")
    update_folder(
        folder, calibration=calibration, card={**run_facts(folder), "predict": use.to_dict()}
    )
    if split == "train":
        notes.append("Images the model was trained on make it too sure of itself; use others.")
    if json:
        facts = {**calibration.to_dict(), "predict": use.to_dict(), "notes": notes}
        print_json({"model": str(folder), **facts})
        return
    _show(calibration, model.classes, str(folder), notes)


def _compared(calibration: Calibration, stored: Calibration | None) -> list[str]:
    """What people should know of a calibration that is stored in place of another, or of none."""
    notes = []
    figures, count = calibration.metrics, calibration.fitted_on["n"]
    if figures["nll_after"] > figures["nll_before"]:
        notes.append(
            "The fit makes the probabilities worse on images it was not fitted to: too few?"
        )
    if stored is not None and stored.fitted_on.get("n", 0) > count:
        notes.append(f"It replaces one that was fitted to {stored.fitted_on['n']:,} images.")
    if stored is not None and stored.min_confidence and calibration.min_confidence is None:
        notes.append(
            f"Answers below {stored.min_confidence:.4f} were withheld until now; none are from now "
            "on. --max-risk, --coverage or --min-confidence chooses a new threshold."
        )
    return notes


def _show(
    calibration: Calibration, classes: tuple[str, ...], folder: str, notes: list[str]
) -> None:
    f, on = calibration.metrics, calibration.fitted_on
    print_line(f"{on['dataset']} {on['split']}: {on['n']:,} images")
    if calibration.weight is None or calibration.bias is None:
        print_line(f"temperature {calibration.temperature:.4f}")
    else:
        rows = zip(classes, calibration.weight, calibration.bias, strict=True)
        print_table(
            ["class", "weight #", "bias #"], [[c, f"{w:.3f}", f"{b:.3f}"] for c, w, b in rows]
        )
    print_table(
        ["figure", "before #", "after #", "after, same images #"],
        [
            [title, *(f"{f[f'{name}_{when}']:.4f}" for when in _WHEN)]
            for title, name in (
                ("calibration error (ECE)", "ece"),
                ("log-loss", "nll"),
                ("accuracy", "accuracy"),
            )
        ],
        title=f"After: each of {f['folds']} folds by a fit to the others",
    )
    if calibration.min_confidence is not None:
        share, wrong = calibration.threshold["coverage"], calibration.threshold["risk"]
        print_line(
            f"answers below {calibration.min_confidence:.4f} are withheld: "
            f"{percent(share)} of the faces are answered"
            + (f", {percent(wrong)} of them wrongly" if wrong is not None else "")
        )
    for note in notes:
        print_line(f"note: {note}")
    print_line(f"stored in {folder}")
