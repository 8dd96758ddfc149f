"""The folder a model is saved as: written whole, checked file by file when read. No pickle."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ke2nt.data.preprocessing import Preprocessing
from ke2nt.errors import CheckpointError, LabelError
from ke2nt.labels import check_same_labels
from ke2nt.models.calibration import Calibration
from ke2nt.models.hub import download_folder, looks_like_hub_id
from ke2nt.models.tensor_files import read_safetensors
from ke2nt.runtime.atomic import atomic_folder, write_json
from ke2nt.runtime.digest import digest_file
from ke2nt.text.bank import TextBank

__all__ = ["FORMAT_VERSION", "SavedModel", "find_model_folder", "read_folder", "write_folder"]

FORMAT_VERSION = 1
_KIND = "ke2nt-model"
_CONFIG = "config.json"
_WEIGHTS = "model.safetensors"
_BANK = ("text_bank.safetensors", "text_bank.json")
_FILES = (_CONFIG, _WEIGHTS, *_BANK)
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
    """

    classes: tuple[str, ...]
    architecture: dict[str, Any]
    preprocessing: Preprocessing
    provenance: dict[str, Any]
    bank: TextBank | None
    state: Mapping[str, Tensor]
    calibration: Calibration | None = None


def write_folder(folder: Path, saved: SavedModel) -> None:
    """Write a model folder in place of an older one.

    Raises:
        CheckpointError: The folder holds files that are not a model's.
    """
    from safetensors.torch import save_file

    names = [p.name for p in folder.iterdir()] if folder.is_dir() else []
    foreign = sorted(set(names) - set(_FILES))
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
        # clones, as safetensors refuses tensors that share memory
        state = {
            name: tensor.detach().to("cpu", copy=True, memory_format=torch.contiguous_format)
            for name, tensor in saved.state.items()
        }
        save_file(state, aside / _WEIGHTS, {"classes": json.dumps(saved.classes)})
        prompts = saved.bank.provenance.get("prompts") if saved.bank is not None else None
        write_json(
            aside / _CONFIG,
            {
                "kind": _KIND,
                "format_version": FORMAT_VERSION,
                "classes": list(saved.classes),
                "prompts": prompts,
                "preprocessing": saved.preprocessing.to_dict(),
                "architecture": saved.architecture,
                "calibration": saved.calibration and saved.calibration.to_dict(),
                "provenance": saved.provenance,
                "digests": {file.name: digest_file(file) for file in sorted(aside.iterdir())},
            },
        )


def find_model_folder(name: str | Path) -> Path:
    """Model folder for a folder, a run directory with `model/` inside, or a hub id "user/name".

    Raises:
        CheckpointError: There is none.
    """
    path = Path(name).expanduser()
    for folder in (path / "model", path):
        if (folder / _CONFIG).is_file():
            return folder
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
    )


def _read_config(path: Path) -> dict[str, Any]:
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
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
    except (SafetensorError, OSError, ValueError, KeyError) as error:
        raise LabelError("the saved weights do not name their label set", where=path) from error
