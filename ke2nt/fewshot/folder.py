"""The folder of an experiment: its settings, which images were drawn, finished cells and models."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ke2nt.errors import ConfigError
from ke2nt.fewshot.draws import Draw
from ke2nt.fewshot.names import ALL
from ke2nt.runtime.atomic import write_json

__all__ = ["CELLS", "DRAWS", "MODELS", "SETTINGS", "check_settings", "write_draws"]

CELLS = "cells"
MODELS = "models"
SETTINGS = "settings.json"
DRAWS = "draws.json"


def check_settings(folder: Path, settings: dict[str, Any]) -> None:
    """Write the settings of an experiment, or check that the folder is of the same one.

    Methods, shots and seeds are no settings: more of them make the table larger.

    Raises:
        ConfigError: The folder holds the results of other settings.
    """
    path = folder / SETTINGS
    try:
        stored = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        stored = None
    if not isinstance(stored, dict):  # absent or damaged
        write_json(path, settings)
        return

    plain = json.loads(json.dumps(settings))
    differing = [key for key in plain if stored.get(key) != plain[key]]
    if differing:
        key = differing[0]
        raise ConfigError(
            f"the folder holds results of other settings: {key.replace('_', ' ')} differs",
            expected=plain[key],
            found=stored.get(key),
            where=folder,
            hint="Choose another folder with --out.",
        )


def write_draws(folder: Path, rule: str, draws: Sequence[Draw]) -> None:
    """Write the names of the images of every number of shots and seed."""
    # all images are the same for every seed
    seen: set[object] = set()
    different = []
    for draw in draws:
        name = ALL if draw.shots == ALL else (draw.shots, draw.seed)
        if name not in seen:
            seen.add(name)
            different.append(draw.to_dict())
    write_json(folder / DRAWS, {"rule": rule, "draws": different})
