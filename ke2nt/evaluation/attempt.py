"""Work that may fail in one cell of a matrix without ending the others."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from ke2nt.errors import Ke2ntError

__all__ = ["attempt", "or_raise"]

Value = TypeVar("Value")


def attempt(work: Callable[..., Any], *arguments: Any) -> Any:
    """Return what a call returns, or the exception if it is one that a user can fix."""
    try:
        return work(*arguments)
    except (Ke2ntError, OSError) as error:
        return error


def or_raise(value: Value | Exception) -> Value:
    """Return a value, or raise the exception that `attempt` returned in its place."""
    if isinstance(value, Exception):
        raise value
    return value
