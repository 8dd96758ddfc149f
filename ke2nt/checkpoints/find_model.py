"""From a model's name to its folder, without torch: a wrong name is refused at once."""

from __future__ import annotations

import warnings
from pathlib import Path

from ke2nt.checkpoints.bundled import bundled_folder, bundled_models
from ke2nt.checkpoints.folder_config import CONFIG
from ke2nt.checkpoints.hub import download_folder
from ke2nt.errors import CheckpointError, Ke2ntWarning
from ke2nt.runtime.hub_names import looks_like_hub_id, suggest_path
from ke2nt.runtime.suggest import did_you_mean

__all__ = [
    "BANK",
    "CARD",
    "FAMILIARITY",
    "FILES",
    "WEIGHTS",
    "check_model_name",
    "check_replaceable",
    "find_model_folder",
    "is_onnx_name",
    "public_model_name",
]

WEIGHTS = "model.safetensors"
BANK = ("text_bank.safetensors", "text_bank.json")
CARD = "README.md"
FAMILIARITY = "familiarity.safetensors"
_SUCCESSORS = {"ferplus-resnet18": "ferplus-faces"}
FILES = (CONFIG, WEIGHTS, *BANK, FAMILIARITY, CARD)


def find_model_folder(name: str | Path) -> Path:
    """Find the folder of a model by its path or name.

    An existing folder comes first, then the models of the package, then the hub.

    Args:
        name: A model folder, a run directory, a model of the package "ke2nt/NAME" (or "NAME"), or
            a hub id.

    Raises:
        CheckpointError: There is no such model.
    """
    folder = _find(name)
    if folder is None:
        return download_folder(str(name), FILES)
    if not Path(name).expanduser().exists():
        _name_successor(str(name).removeprefix("ke2nt/"))
    return folder


def is_onnx_name(name: str | Path) -> bool:
    """Whether a model's name is that of an ONNX file."""
    return str(name).lower().endswith(".onnx")


def public_model_name(name: str | Path) -> str:
    """Return a model's name without folders of this machine: that of the run or of the folder."""
    path = Path(name).expanduser()
    if not path.exists():
        return str(name) if "/" in str(name) else f"ke2nt/{name}"
    folder = path.resolve()
    return folder.parent.name if folder.name == "model" else folder.name


def check_model_name(name: str | Path) -> None:
    """Check a model's name as `find_model_folder` does; the hub is not asked for its names.

    Raises:
        CheckpointError: There is no such model.
    """
    _find(name)


def check_replaceable(folder: Path) -> None:
    """Refuse a folder with files that saving a model would not write.

    Raises:
        CheckpointError: The folder holds files of another origin, or is a file.
    """
    names = [path.name for path in folder.iterdir()] if folder.is_dir() else []

    # without a config.json, a README.md is the user's
    replaceable = FILES if CONFIG in names else FILES[:-1]
    foreign = sorted(set(names) - set(replaceable))
    if foreign or (folder.exists() and not folder.is_dir()):
        raise CheckpointError(
            "saving a model would replace files that do not belong to a saved model",
            expected="a new or empty folder, or an older saved model",
            found=", ".join(foreign[:5]) or "a file",
            where=folder,
        )


def _find(name: str | Path) -> Path | None:
    """The folder of a model on this machine; None for a model of the hub."""
    path = Path(name).expanduser()
    for folder in (path / "model", path):
        if (folder / CONFIG).is_file():
            return folder

    # a name, not a path
    if not path.exists() and (str(name).startswith("ke2nt/") or str(name) in bundled_models()):
        return bundled_folder(str(name).removeprefix("ke2nt/"))
    if not path.exists() and looks_like_hub_id(str(name)):
        return None

    hint = suggest_path(str(name)) or did_you_mean(str(name), bundled_models())
    raise CheckpointError(
        "no saved model",
        expected=f"a folder with {CONFIG} and {WEIGHTS}, a run directory with model/ inside, or a "
        f"model of the package: {', '.join(bundled_models())}",
        where=name,
        hint=None if path.exists() else hint,
    )


def _name_successor(name: str) -> None:
    """Warn that a model of the package has a better one after it."""
    if name in _SUCCESSORS:
        message = f"ke2nt/{name} is the earlier recognizer; ke2nt/{_SUCCESSORS[name]} is better"
        warnings.warn(message, Ke2ntWarning, stacklevel=4)
