"""How strong a term is at some point of a run."""

from __future__ import annotations

__all__ = ["climb"]


def climb(done: float, start: float, length: float) -> float:
    """0 before `start`, then climbing evenly to 1 within `length`; all are shares of the run.

    >>> [climb(p, 0.2, 0.4) for p in (0.1, 0.4, 0.9)]
    [0.0, 0.5, 1.0]
    """
    if done < start:
        return 0.0
    return 1.0 if length == 0.0 else min(1.0, (done - start) / length)
