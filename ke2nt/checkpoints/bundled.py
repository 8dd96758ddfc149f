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
    """Find the folder of a model of the package.

    Args:
        name: Without "ke2nt/".

    Raises:
        CheckpointError: The package has no such model.
    """
    names = bundled_models()
    if name not in names:
        raise CheckpointError(
            f"this installation of ke2nt has no model {name!r}",
            expected=f"one of {', '.join(names)}" if names else "a package with trained models",
            found=None if names else "a package without any",
            where=BUNDLED_FOLDER.name,
            hint=did_you_mean(name, names)
            or "Train one: ke2nt train ferplus_resnet18 data.root=DIR",
        )
    return BUNDLED_FOLDER / name
