"""config.json of a model folder: its keys, and the checks when it is read."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ke2nt.errors import CheckpointError
from ke2nt.runtime.file_content import check_content

__all__ = ["CONFIG", "FORMAT_VERSION", "KIND", "check_card", "damaged_card", "read_config"]

# Parts of the facts for the model card, by dotted path, and the types that they are read with
_CARD_PARTS = {
    "data": dict,
    "data.name": str,
    "data.options": dict,
    "config": dict,
    "config.data": dict,
    "config.data.train_split": str,
    "predict": dict,
    "class_prior": dict,
    "started_from": dict,
    "teacher": dict,
    "zero_shot": dict,
    "started_from.data": list,
    "started_from.train_splits": dict,
    "evaluations": list,
    "first_weights": list,
}

CONFIG = "config.json"
FORMAT_VERSION = 1
KIND = "ke2nt-model"
_REQUIRED: Mapping[str, type] = {
    "classes": list,
    "preprocessing": dict,
    "architecture": dict,
    "provenance": dict,
    "digests": dict,
}


def read_config(path: Path) -> dict[str, Any]:
    """Read a config.json.

    Raises:
        CheckpointError: It cannot be read, is of another kind or format, or lacks a key.
    """
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        check_content(path)
        raise CheckpointError("the model's configuration cannot be read", where=path) from error

    # models of other libraries have a config.json too
    if not isinstance(config, dict) or config.get("kind") != KIND:
        raise CheckpointError(
            "not a saved ke2nt model",
            expected=f'"kind": "{KIND}"',
            found=config.get("kind") if isinstance(config, dict) else type(config).__name__,
            where=path,
        )
    if config.get("format_version") != FORMAT_VERSION:
        raise CheckpointError(
            "unknown format of a saved model",
            expected=f"format_version {FORMAT_VERSION}",
            found=config.get("format_version"),
            where=path,
            hint="A newer ke2nt may have written it: pip install --upgrade . in a current clone",
        )

    # keys that came later are optional: calibration, card, dtype
    wrong = [name for name, kind in _REQUIRED.items() if not isinstance(config.get(name), kind)]
    if wrong:
        raise CheckpointError(
            "the model's configuration is incomplete", expected=", ".join(wrong), where=path
        )
    return config


def check_card(card: Any, *, where: Path) -> dict[str, Any]:
    """Return the facts for the model card, {} if there are none.

    Raises:
        CheckpointError: A part of them has another type than it is read with.
    """
    if card is None:
        return {}
    if not isinstance(card, dict):
        raise damaged_card("card", card, where)

    # absent parts are null or empty
    for path, kind in _CARD_PARTS.items():
        part: Any = card
        for key in path.split("."):
            part = part.get(key) if isinstance(part, dict) else None
        if part and not isinstance(part, kind):
            raise damaged_card(path, part, where)
    for evaluation in card.get("evaluations") or []:
        if not isinstance(evaluation, dict):
            raise damaged_card("evaluations", evaluation, where)
    return dict(card)


def damaged_card(part: str, found: object, where: Path) -> CheckpointError:
    """The error for facts that no model card can be written from."""
    return CheckpointError(
        "the facts for the model card are damaged",
        expected=f"{part} as ke2nt writes it",
        found=repr(found)[:80],
        where=where,
        hint=f"They only describe the model: delete {part} from the section card of this file.",
    )
