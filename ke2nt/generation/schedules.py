"""Schedules of the strength of a loss term."""

from __future__ import annotations

__all__ = ["linear_ramp"]


def linear_ramp(progress: float, start: float, length: float) -> float:
    """0 before `start`, then rising linearly to 1 within `length`; all are shares of the run.

    >>> [linear_ramp(p, 0.2, 0.4) for p in (0.1, 0.4, 0.9)]
    [0.0, 0.5, 1.0]
    """
    if progress < start:
        return 0.0

    # a ramp without length is a step
    return 1.0 if length == 0.0 else min(1.0, (progress - start) / length)
