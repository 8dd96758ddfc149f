"""Validation problems of a configuration in words, with the nearest valid key."""

from __future__ import annotations

import difflib
from typing import Any, get_args

from pydantic import BaseModel

__all__ = ["describe_problem", "find_section", "list_keys"]

_MAX_LENGTH = 400


def describe_problem(error: Any, kind: type[BaseModel]) -> str:
    """Describe one of pydantic's validation errors.

    Args:
        error: An entry of `ValidationError.errors()`.
        kind: Class of the configuration.
    """
    key = ".".join(str(part) for part in error["loc"])
    if error["type"] == "extra_forbidden":
        nearest = difflib.get_close_matches(key, list_keys(kind), n=1, cutoff=0.5)
        return f"unknown key {key}" + (f", did you mean {nearest[0]}?" if nearest else "")

    # a whole section is long, and its keys are named in the message
    message = error["msg"].removeprefix("Value error, ")
    text = f"{key or 'the configuration'}: {message}"
    if isinstance(error["input"], dict):
        return text
    return f"{text}, found {error['input']!r}"[:_MAX_LENGTH]


def list_keys(model: type[BaseModel], prefix: str = "") -> list[str]:
    """List every key of a configuration, with dots between levels."""
    keys = []
    for name, field in model.model_fields.items():
        keys.append(prefix + name)
        section = find_section(field.annotation)
        if section is not None:
            keys += list_keys(section, f"{prefix}{name}.")
    return keys


def find_section(annotation: Any) -> type[BaseModel] | None:
    """Return the section that a field holds, also as `Section | None`."""
    for candidate in (annotation, *get_args(annotation)):
        if isinstance(candidate, type) and issubclass(candidate, BaseModel):
            return candidate
    return None
