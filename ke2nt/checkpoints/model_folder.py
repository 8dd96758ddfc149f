"""The folder of a saved model: written in one step, and checked file by file when read.

config.json          label set, architecture, preprocessing, calibration, provenance, digests
model.safetensors    weights
text_bank.*          text embeddings of the classes; absent for a linear head
familiarity.*        which images the model knows; absent before `ke2nt calibrate`
README.md            model card, made from config.json
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ke2nt.banks.text_bank import TextBank
from ke2nt.checkpoints.card import model_card
from ke2nt.checkpoints.find_model import (
    BANK,
    CARD,
    FAMILIARITY,
    WEIGHTS,
    check_replaceable,
    find_model_folder,
)
from ke2nt.checkpoints.folder_config import (
    CONFIG,
    FORMAT_VERSION,
    KIND,
    check_card,
    damaged_card,
    read_config,
)
from ke2nt.checkpoints.saved_model import SavedModel, StoredAsJson, StoredWithTensors
from ke2nt.data.preprocessing import Preprocessing
from ke2nt.errors import CheckpointError, LabelError
from ke2nt.labels import check_same_labels
from ke2nt.runtime.atomic import atomic_folder, write_json, write_text
from ke2nt.runtime.digest import digest_file
from ke2nt.runtime.file_content import check_content
from ke2nt.runtime.tensor_files import read_metadata, read_safetensors, write_safetensors

__all__ = ["WEIGHTS", "find_model_folder", "read_folder", "update_folder", "write_folder"]


def write_folder(folder: Path, saved: SavedModel, *, dtype: torch.dtype = torch.float32) -> None:
    """Write a model folder, replacing an older one.

    Args:
        folder: New, empty, or an older saved model.
        saved: Content to write.
        dtype: Type of the floating tensors on disk; a loaded model computes in float32 anyway.

    Raises:
        CheckpointError: The folder holds files of another origin, or a weight is out of the range
            of that dtype.
    """
    check_replaceable(folder)

    with atomic_folder(folder) as temporary:
        if saved.bank is not None:
            saved.bank.save(temporary)
        metadata = {"classes": json.dumps(saved.classes)}
        write_safetensors(temporary / WEIGHTS, saved.state, metadata, dtype=dtype)
        if saved.familiarity is not None:
            _write_familiarity(temporary, saved.familiarity_tensors)

        # digests tie the files together, so config.json comes last
        config = _folder_config(saved, dtype)
        config["digests"] = {file.name: digest_file(file) for file in sorted(temporary.iterdir())}
        _write_config_and_card(temporary, config)


def update_folder(
    folder: Path,
    *,
    calibration: StoredAsJson | None = None,
    familiarity: StoredWithTensors | None = None,
    card: Mapping[str, Any] | None = None,
) -> None:
    """Change calibration, familiarity or the card's facts of a saved model; write its card again.

    Args:
        folder: The model folder itself.
        calibration: Replaces the stored calibration; None keeps that.
        familiarity: Replaces the stored familiarity; None keeps that.
        card: Facts that replace those of the same names.

    Raises:
        CheckpointError: It is not a model folder.
    """
    config = read_config(folder / CONFIG)
    if calibration is not None:
        config["calibration"] = calibration.to_dict()
    if familiarity is not None:
        # its digest follows in config.json; a file without it would be left out when read
        _write_familiarity(folder, familiarity.tensors())
        config["familiarity"] = familiarity.to_dict()
        config["digests"][FAMILIARITY] = digest_file(folder / FAMILIARITY)
    config["card"] = {**(config.get("card") or {}), **(card or {})}
    _write_config_and_card(folder, config)


def read_folder(folder: Path) -> SavedModel:
    """Read a model folder and check that its files belong together.

    Raises:
        CheckpointError: A file is missing, altered, or of another kind or format.
        LabelError: Configuration, weights and text bank disagree on the label set.
    """
    config = read_config(folder / CONFIG)
    has_bank = config["architecture"].get("head") == "text"
    _check_digests(folder, config, (WEIGHTS, *(BANK if has_bank else ())))

    # the label set is stored in three files, which must agree
    classes = tuple(config["classes"])
    check_same_labels(_weights_classes(folder / WEIGHTS), classes, where=folder / CONFIG)
    bank = TextBank.load(folder) if has_bank else None
    if bank is not None:
        check_same_labels(classes, bank.classes, where=folder / BANK[1])

    familiarity = _read_familiarity(folder, config)
    return SavedModel(
        classes=classes,
        architecture=config["architecture"],
        preprocessing=Preprocessing.from_dict(config["preprocessing"]),
        provenance=config["provenance"],
        bank=bank,
        state=read_safetensors(folder / WEIGHTS),
        calibration=config.get("calibration"),
        familiarity=None if familiarity is None else config["familiarity"],
        familiarity_tensors=familiarity or {},
        card=check_card(config.get("card"), where=folder / CONFIG),
        folder=folder,
    )


def _write_familiarity(folder: Path, tensors: Mapping[str, Tensor]) -> None:
    write_safetensors(folder / FAMILIARITY, tensors, {}, dtype=torch.float32)


def _read_familiarity(folder: Path, config: Mapping[str, Any]) -> dict[str, Tensor] | None:
    """Tensors of the familiarity; None if the model has none, or not the one of config.json."""
    if not config.get("familiarity"):
        return None
    path = folder / FAMILIARITY
    if path.is_file() and config["digests"].get(FAMILIARITY) == digest_file(path):
        return read_safetensors(path)

    # the model itself is whole, and calibrating it again writes the file
    warnings.warn(
        f"{path} is not the file that was saved: the model cannot tell what is no face. "
        "Type ke2nt calibrate again.",
        stacklevel=2,
    )
    return None


def _folder_config(saved: SavedModel, dtype: torch.dtype) -> dict[str, Any]:
    """Content of config.json, without digests."""
    prompts = None if saved.bank is None else saved.bank.provenance.get("prompts")
    return {
        "kind": KIND,
        "format_version": FORMAT_VERSION,
        "classes": list(saved.classes),
        "prompts": prompts,
        "preprocessing": saved.preprocessing.to_dict(),
        "architecture": saved.architecture,
        "calibration": saved.calibration,
        "familiarity": saved.familiarity,
        "provenance": saved.provenance,
        "card": dict(saved.card),
        "dtype": str(dtype).removeprefix("torch."),
    }


def _write_config_and_card(folder: Path, config: Mapping[str, Any]) -> None:
    # the facts of another program's model may lack any part
    try:
        text = model_card(config)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise damaged_card("evaluations", error, folder / CONFIG) from error
    write_json(folder / CONFIG, config)
    write_text(folder / CARD, text)


def _check_digests(folder: Path, config: Mapping[str, Any], names: tuple[str, ...]) -> None:
    for name in names:
        if not (folder / name).is_file():
            raise CheckpointError(f"the saved model lacks {name}", where=folder)
        if config["digests"].get(name) != digest_file(folder / name):
            check_content(folder / name)
            raise CheckpointError(
                f"{name} is not the file that was saved (its digest differs)",
                where=folder,
                hint="Save or copy the model again.",
            )


def _weights_classes(path: Path) -> tuple[str, ...]:
    """Label set in the metadata of a weights file."""
    try:
        return tuple(json.loads(read_metadata(path)["classes"]))
    except (CheckpointError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise LabelError("the saved weights do not name their label set", where=path) from error
