"""Fitted methods as model folders, which every command takes."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from ke2nt.checkpoints.card_facts import public_text
from ke2nt.checkpoints.model_folder import find_model_folder, read_folder
from ke2nt.evaluation.trained_encoder import TrainedEncoder
from ke2nt.fewshot.cell import FewShotCell
from ke2nt.fewshot.draws import Draw
from ke2nt.fewshot.folder import MODELS
from ke2nt.fewshot.intensity import IntensityFitter
from ke2nt.fewshot.names import ALL, Shots
from ke2nt.fewshot.options import SavedModels
from ke2nt.fewshot.result import FewShotResult
from ke2nt.models.ke2nt import KE2NT
from ke2nt.predict.face_settings import FaceSettings
from ke2nt.predict.intensity import IntensityScale
from ke2nt.training.starting_model import StartingModel
from ke2nt.vlm.base import ImageEncoder

__all__ = ["build_model", "choose_cells", "save_models"]


def save_models(
    result: FewShotResult,
    encoder: ImageEncoder,
    folder: Path,
    which: SavedModels,
    *,
    command: str | None = None,
) -> list[Path]:
    """Write image tower, text embeddings and adapter of fitted methods as model folders.

    Args:
        result: Finished cells.
        encoder: The encoder that they were fitted on.
        folder: Folder of the experiment; models are written to `models/NAME` in it.
        which: See `FewShotOptions.save_models`.
        command: The command line, for the model card.

    Returns:
        The folders.

    Raises:
        CheckpointError: A folder holds other files.
        ModelError: The encoder's images are not square, or its preprocessing cannot be stored.
    """
    cells = choose_cells(result.cells, which)
    if not cells:
        return []

    # the tower is read once; each model gets its own head
    tower, start = _load_tower(encoder, result.classes)
    scale = FaceSettings.from_model(tower).intensity
    tower.set_adapter(None)
    fitter, written = IntensityFitter(tower), []
    for cell in cells:
        model = build_model(tower, cell, result, start=start, command=command)
        _add_intensity(model, cell, result, fitter, scale)
        path = folder / MODELS / cell.name
        model.save_pretrained(path)
        written.append(path)
    return written


def choose_cells(cells: Sequence[FewShotCell], which: SavedModels) -> list[FewShotCell]:
    """Return the cells to save; of a method the one with most shots and the first seed."""
    if which == "none":
        return []
    if which == "all":
        return list(cells)

    # the first of equally many shots has the first seed
    largest: dict[str, FewShotCell] = {}
    for cell in cells:
        best = largest.get(cell.method)
        if best is None or _count(cell.shots) > _count(best.shots):
            largest[cell.method] = cell
    return list(largest.values())


def build_model(
    tower: KE2NT,
    cell: FewShotCell,
    result: FewShotResult,
    *,
    start: Mapping[str, Any] | None = None,
    command: str | None = None,
) -> KE2NT:
    """Build the recognizer of a cell.

    Args:
        tower: The model of the encoder; it is copied.
        cell: A finished cell.
        result: The experiment.
        start: What the model card says of the encoder, see `StartingModel.facts`.
        command: The command line, for the model card.

    Returns:
        A model whose logits for an image are those of the cell.
    """
    facts = result.facts
    model = copy.deepcopy(tower)
    model.set_adapter(None)
    model.set_bank(replace(cell.fitted.bank, logit_scale=facts["logit_scale"]))
    model.set_adapter(copy.deepcopy(cell.fitted.adapter))

    # the tower's training is not how this model was made
    model.provenance = {
        "few_shot": _describe(cell, facts),
        "encoder": dict(tower.provenance),
    }
    model.card = {
        **{key: model.card[key] for key in ("predict", "first_weights") if key in model.card},
        **(_describe_data(cell, result, start or {}) or _data_of(tower)),
        "command": None if command is None else public_text(command),
        "seed": cell.seed,
    }
    return model.eval()


def _add_intensity(
    model: KE2NT,
    cell: FewShotCell,
    result: FewShotResult,
    fitter: IntensityFitter,
    tower_scale: IntensityScale | None,
) -> None:
    """Give a model its intensity scale, or its card the reason why it has none."""
    draw = _find_draw(cell, result)
    if draw is not None:
        scale, reason = fitter.fit(model, draw.validation)
    elif _same_texts(model, fitter.tower):
        # the embeddings of the encoder, along the same directions
        scale, reason = tower_scale, "its encoder has none"
    else:
        scale, reason = None, "zero-shot recognition takes no images to fit it on"

    if scale is not None:
        settings = replace(FaceSettings.from_model(model), intensity=scale)
        model.card["predict"] = settings.to_dict()
    else:
        model.card["intensity_note"] = (
            f"no scale: {reason}. `ke2nt calibrate` fits one on labeled faces"
        )


def _same_texts(model: KE2NT, tower: KE2NT) -> bool:
    """Whether two models have the same classes and text embeddings."""
    banks = model.bank, tower.bank
    return banks[0].classes == banks[1].classes and all(
        torch.equal(getattr(banks[0], name), getattr(banks[1], name))
        for name in ("raw", "neutral_raw")
    )


def _load_tower(encoder: ImageEncoder, classes: Sequence[str]) -> tuple[KE2NT, dict[str, Any]]:
    """The model of an encoder, and what the card of a model that starts from it says of it."""
    if isinstance(encoder, TrainedEncoder):
        saved = read_folder(find_model_folder(encoder.source))
        return encoder.load_recognizer(), StartingModel(encoder.source, saved).facts()

    # the words are those of each cell, set later
    model = KE2NT.from_vlm(encoder.text_encoder, "paper", classes)
    start = {"model": encoder.id, "sha256": encoder.weights(), "data": [], "train_splits": {}}
    return model, start


def _describe(cell: FewShotCell, facts: dict[str, Any]) -> dict[str, Any]:
    """Which images and settings a model was made with, for its provenance."""
    shared = ("encoder", "prompts", "dataset", "train_split", "validation_rule")
    return {
        "method": cell.method,
        "shots": cell.shots,
        "seed": cell.seed,
        "chosen": dict(cell.fitted.chosen),
        **{key: facts[key] for key in shared},
    }


def _describe_data(
    cell: FewShotCell, result: FewShotResult, start: Mapping[str, Any]
) -> dict[str, Any]:
    """For the card: the few images, whose license counts, and the encoder; {} without images."""
    draw = _find_draw(cell, result)
    if draw is None:
        return {}
    data = {
        "name": result.facts["dataset"],
        "options": result.facts.get("options") or {},
        "samples": {"train": len(draw.train), "val": len(draw.validation)},
        "chosen": "hyperparameters",
    }
    return {"data": data, "started_from": dict(start)}


def _find_draw(cell: FewShotCell, result: FewShotResult) -> Draw | None:
    """The images that a method was fitted on; None for zero-shot."""
    found = (draw for draw in result.draws if (draw.shots, draw.seed) == (cell.shots, cell.seed))
    return next(found, None)


def _data_of(tower: KE2NT) -> dict[str, Any]:
    """What the tower's card says of its data, for a method that needs no images."""
    kept = ("data", "started_from", "class_prior")
    return {key: tower.card[key] for key in kept if key in tower.card}


def _count(shots: Shots) -> float:
    return float("inf") if shots == ALL else float(shots)
