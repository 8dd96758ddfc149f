"""Trained models that come with the package, by name."""

from __future__ import annotations

from pathlib import Path

from ke2nt.errors import CheckpointError
from ke2nt.runtime.suggest import did_you_mean

__all__ = ["BUNDLED_FOLDER", "bundled_folder", "bundled_models"]

BUNDLED_FOLDER = Path(__file__).resolve().parents[1] / "pretrained"


def bundled_models() -> tuple[str, ...]:
    """Names of the models in the package, without "ke2nt/"."""
    return tuple(sorted(path.parent.name for path in BUNDLED_FOLDER.glob("*/config.json")))


def bundled_folder(name: str) -> Path:
    """Folder of a model of the package.

    Args:
        name: Without "ke2nt/".

    Raises:
        CheckpointError: The package has no such model.
    """
    known = bundled_models()
    if name not in known:
        raise CheckpointError(
            f"this installation of ke2nt carries no model {name!r}",
            expected=f"one of {', '.join(known)}" if known else "a package with trained models",
            found=None if known else "a package without any",
            where=BUNDLED_FOLDER.name,
            hint=did_you_mean(name, known)
            or "Train one: ke2nt train ferplus_resnet18 data.root=DIR",
        )
    return BUNDLED_FOLDER / name
