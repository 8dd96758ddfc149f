"""Single values checked against a type."""

from __future__ import annotations

from typing import Any

import numpy as np
from pydantic import TypeAdapter, ValidationError

__all__ = ["is_of", "type_words"]


def is_of(value: Any, kind: Any) -> bool:
    """Whether a value is of a type as annotated; true is no number, and 3 is no text."""
    if isinstance(value, np.ndarray | np.generic):
        value = value.tolist()
    try:
        TypeAdapter(kind).validate_python(value, strict=True)
    except ValidationError:
        return False
    return True


def type_words(kind: Any) -> str:
    """A type as people write it."""
    return kind.__name__ if isinstance(kind, type) else str(kind).replace("collections.abc.", "")
