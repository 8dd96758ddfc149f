"""Check single values against a type."""

from __future__ import annotations

from typing import Any

import numpy as np
from pydantic import TypeAdapter, ValidationError

__all__ = ["describe_type", "has_type"]


def has_type(value: Any, annotation: Any) -> bool:
    """Whether a value has the annotated type; true is not a number, and 3 is not text."""
    if isinstance(value, np.ndarray | np.generic):
        value = value.tolist()
    try:
        TypeAdapter(annotation).validate_python(value, strict=True)
    except ValidationError:
        return False
    return True


def describe_type(annotation: Any) -> str:
    """Write a type as people write it."""
    if isinstance(annotation, type):
        return annotation.__name__
    return str(annotation).replace("collections.abc.", "")
