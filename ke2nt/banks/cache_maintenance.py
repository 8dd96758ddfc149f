"""Verify and prune the entries of a cache."""

from __future__ import annotations

import time
from typing import Any

from ke2nt.banks.cache import Entry, EntryCache
from ke2nt.errors import CacheError

__all__ = ["prune", "verify"]

_DAY = 86400.0  # seconds
_ABANDONED = 3600.0  # seconds after which an unfinished write counts as interrupted


def verify(cache: EntryCache[Any]) -> list[tuple[Entry, str | None]]:
    """Read every entry whole; each is returned with the reason why it is unusable, or None."""
    results: list[tuple[Entry, str | None]] = []
    for entry in cache.entries():
        problem = entry.problem
        if problem is None:
            try:
                cache.read(entry.key)
            except CacheError as error:
                problem = str(error)
        results.append((entry, problem))
    return results


def prune(
    cache: EntryCache[Any], *, older_than: float | None = None, everything: bool = False
) -> list[tuple[str, str]]:
    """Delete damaged entries and the leftovers of interrupted writes.

    Args:
        cache: The cache.
        older_than: Also delete intact entries older than this many days.
        everything: Delete every entry.

    Returns:
        Name and reason of everything deleted.
    """
    now = time.time()
    removed = []
    for entry, problem in verify(cache):
        if everything:
            reason = "all"
        elif problem is not None:
            reason = problem
        elif older_than is not None and now - entry.modified > older_than * _DAY:
            reason = f"older than {older_than:g} days"
        else:
            continue
        cache.remove(entry.path)
        removed.append((entry.key, reason))

    # a young leftover may belong to a write that is still running
    for path in cache.leftovers():
        if now - path.stat().st_mtime > _ABANDONED:
            cache.remove(path)
            removed.append((path.name, "left by an interrupted write"))
    return removed
