"""Suggest the nearest known name in error messages."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

__all__ = ["did_you_mean", "nearest"]


def did_you_mean(name: str, known: Iterable[str]) -> str | None:
    """Return a hint such as "Did you mean 'ferplus'?", or None if no name is near."""
    near = nearest(name, known, cutoff=0.5)
    return None if near is None else f"Did you mean {near!r}?"


def nearest(name: str, known: Iterable[str], *, cutoff: float = 0.7) -> str | None:
    """Return the known name that is most like a name; None if none is alike enough.

    Args:
        name: A name that may be misspelled.
        known: Names to compare with.
        cutoff: Least similarity, 0 to 1, as in `difflib.get_close_matches`.
    """
    near = difflib.get_close_matches(name, list(known), n=1, cutoff=cutoff)
    return near[0] if near else None
