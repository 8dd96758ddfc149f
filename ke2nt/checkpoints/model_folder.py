"""The folder a model is saved as: written whole, checked file by file when read. No pickle."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ke2nt.banks.text_bank import TextBank
from ke2nt.checkpoints.bundled import bundled_folder
from ke2nt.checkpoints.calibration import Calibration
from ke2nt.checkpoints.card import model_card
from ke2nt.checkpoints.hub import download_folder, looks_like_hub_id
from ke2nt.checkpoints.tensor_files import read_safetensors, write_safetensors
from ke2nt.data.preprocessing import Preprocessing
from ke2nt.errors import CheckpointError, LabelError
from ke2nt.labels import check_same_labels
from ke2nt.runtime.atomic import atomic_folder, write_json, write_text
from ke2nt.runtime.digest import digest_file

__all__ = [
    "FORMAT_VERSION",
    "SavedModel",
    "find_model_folder",
    "read_folder",
    "update_folder",
    "write_folder",
]

FORMAT_VERSION = 1
_KIND = "ke2nt-model"
_CONFIG = "config.json"
_WEIGHTS = "model.safetensors"
_BANK = ("text_bank.safetensors", "text_bank.json")
_CARD = "README.md"
_FILES = (_CONFIG, _WEIGHTS, *_BANK, _CARD)
_FIELDS: Mapping[str, type] = {
    "classes": list,
    "preprocessing": dict,
    "architecture": dict,
    "provenance": dict,
    "digests": dict,
}


@dataclass(frozen=True, slots=True)
class SavedModel:
    """Content of a model folder.

    Attributes:
        classes: Class names in index order.
        architecture: What `ke2nt.models.build.build_model` takes.
        preprocessing: From pixels to the model's input.
        provenance: What made the model, plain JSON.
        bank: Text embeddings, None for a linear head.
        state: The module's state dict, on the CPU.
        calibration: Calibration of its logits, or None.
        card: Facts for the model card, plain JSON: name, data, config, evaluations.
    """

    classes: tuple[str, ...]
    architecture: dict[str, Any]
    preprocessing: Preprocessing
    provenance: dict[str, Any]
    bank: TextBank | None
    state: Mapping[str, Tensor]
    calibration: Calibration | None = None
    card: Mapping[str, Any] = field(default_factory=dict)


def write_folder(folder: Path, saved: SavedModel, *, dtype: torch.dtype = torch.float32) -> None:
    """Write a model folder in place of an older one.

    Args:
        folder: New, empty, or an older saved model.
        saved: What to write.
        dtype: Of the floating tensors on disk; a loaded model computes in float32 all the same.

    Raises:
        CheckpointError: The folder holds files that are not a model's, or a weight is not finite
            in that dtype.
    """
    names = [p.name for p in folder.iterdir()] if folder.is_dir() else []
    ours = _FILES if _CONFIG in names else _FILES[:-1]  # a README.md alone is the user's
    foreign = sorted(set(names) - set(ours))
    if foreign or (folder.exists() and not folder.is_dir()):
        raise CheckpointError(
            "a model would replace files that are not a model's",
            expected="a new or empty folder, or an older saved model",
            found=", ".join(foreign[:5]) or "a file",
            where=folder,
        )
    with atomic_folder(folder) as aside:
        if saved.bank is not None:
            saved.bank.save(aside)
        metadata = {"classes": json.dumps(saved.classes)}
        write_safetensors(aside / _WEIGHTS, saved.state, metadata, dtype=dtype)
        prompts = saved.bank.provenance.get("prompts") if saved.bank is not None else None
        digests = {file.name: digest_file(file) for file in sorted(aside.iterdir())}
        _write_facts(
            aside,
            {
                "kind": _KIND,
                "format_version": FORMAT_VERSION,
                "classes": list(saved.classes),
                "prompts": prompts,
                "preprocessing": saved.preprocessing.to_dict(),
                "architecture": saved.architecture,
                "calibration": saved.calibration and saved.calibration.to_dict(),
                "provenance": saved.provenance,
                "card": dict(saved.card),
                "dtype": str(dtype).removeprefix("torch."),
                "digests": digests,
            },
        )


def _write_facts(folder: Path, config: Mapping[str, Any]) -> None:
    write_json(folder / _CONFIG, config)
    write_text(folder / _CARD, model_card(config))


def update_folder(
    folder: Path,
    *,
    calibration: Calibration | None = None,
    card: Mapping[str, Any] | None = None,
) -> None:
    """Change the calibration or the card's facts of a saved model; the card is written anew.

    Args:
        folder: The folder of the model itself.
        calibration: Takes the place of the stored one; None leaves that.
        card: Facts that replace those of the same names.

    Raises:
        CheckpointError: It is no model folder.
    """
    config = _read_config(folder / _CONFIG)
    if calibration is not None:
        config["calibration"] = calibration.to_dict()
    _write_facts(folder, {**config, "card": {**(config.get("card") or {}), **(card or {})}})


def find_model_folder(name: str | Path) -> Path:
    """Model folder for a folder or run directory, a bundled model "ke2nt/name", or a hub id.

    A folder that exists comes first, then the models of the package, then the hub.

    Raises:
        CheckpointError: There is none.
    """
    path = Path(name).expanduser()
    for folder in (path / "model", path):
        if (folder / _CONFIG).is_file():
            return folder
    if not path.exists() and str(name).startswith("ke2nt/"):
        return bundled_folder(str(name).removeprefix("ke2nt/"))
    if not path.exists() and looks_like_hub_id(str(name)):
        return download_folder(str(name), _FILES)
    raise CheckpointError(
        "no saved model",
        expected=f"a folder with {_CONFIG} and {_WEIGHTS}, or a run directory with model/ inside",
        where=name,
    )


def read_folder(folder: Path) -> SavedModel:
    """Read a model folder and check that its files belong together.

    Raises:
        CheckpointError: A file is absent, altered or of another kind or format.
        LabelError: Configuration, weights and text bank disagree on the label set.
    """
    config = _read_config(folder / _CONFIG)
    has_bank = config["architecture"].get("head") == "text"
    for name in (_WEIGHTS, *(_BANK if has_bank else ())):
        if not (folder / name).is_file():
            raise CheckpointError(f"the saved model lacks {name}", where=folder)
        if config["digests"].get(name) != digest_file(folder / name):
            raise CheckpointError(
                f"{name} is not the file that was saved (its digest differs)",
                where=folder,
                hint="Save or copy the model again.",
            )
    classes = tuple(config["classes"])
    check_same_labels(_weights_classes(folder / _WEIGHTS), classes, where=folder / _CONFIG)
    bank = TextBank.load(folder) if has_bank else None
    stored = config.get("calibration")
    if bank is not None:
        check_same_labels(classes, bank.classes, where=folder / _BANK[1])
    return SavedModel(
        classes=classes,
        architecture=config["architecture"],
        preprocessing=Preprocessing.from_dict(config["preprocessing"]),
        provenance=config["provenance"],
        bank=bank,
        state=read_safetensors(folder / _WEIGHTS),
        calibration=None
        if stored is None
        else Calibration.from_dict(stored, where=folder / _CONFIG),
        card=_card(config.get("card"), where=folder / _CONFIG),
    )


def _card(card: Any, *, where: Path) -> dict[str, Any]:
    """Facts of a card; {} for none.

    Raises:
        CheckpointError: They have another form.
    """
    card = {} if card is None else card
    parts = [card]
    if isinstance(card, dict):
        parts += [card[key] for key in ("data", "config", "predict") if card.get(key) is not None]
        evaluations = card.get("evaluations") or []
        parts += evaluations if isinstance(evaluations, list) else [evaluations]
    if not all(isinstance(part, dict) for part in parts):
        raise CheckpointError("the facts for the model card are damaged", where=where)
    return dict(card)


def _read_config(path: Path) -> dict[str, Any]:
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise CheckpointError("the model's configuration cannot be read", where=path) from error
    if not isinstance(config, dict) or config.get("kind") != _KIND:
        raise CheckpointError(
            "not a saved ke2nt model",
            expected=f'"kind": "{_KIND}"',
            found=config.get("kind") if isinstance(config, dict) else type(config).__name__,
            where=path,
        )
    if config.get("format_version") != FORMAT_VERSION:
        raise CheckpointError(
            "unknown format of a saved model",
            expected=f"format_version {FORMAT_VERSION}",
            found=config.get("format_version"),
            where=path,
            hint="A newer ke2nt may have written it: pip install --upgrade ke2nt",
        )
    wrong = [name for name, kind in _FIELDS.items() if not isinstance(config.get(name), kind)]
    if wrong:
        raise CheckpointError(
            "the model's configuration is incomplete", expected=", ".join(wrong), where=path
        )
    return config


def _weights_classes(path: Path) -> tuple[str, ...]:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="pt") as file:
            return tuple(json.loads((file.metadata() or {})["classes"]))
    except (SafetensorError, OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise LabelError("the saved weights do not name their label set", where=path) from error
