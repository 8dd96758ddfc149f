"""How many threads a computation may use."""

from __future__ import annotations

import os

__all__ = ["count_threads"]


def count_threads() -> int:
    """Return OMP_NUM_THREADS if it is a positive number, else the number of usable cores."""
    text = os.environ.get("OMP_NUM_THREADS", "").strip()
    if text.isdecimal() and int(text) > 0:
        return int(text)

    # a process may be confined to some of the cores; not every system tells
    if hasattr(os, "sched_getaffinity"):
        return max(1, len(os.sched_getaffinity(0)))
    return os.cpu_count() or 1
