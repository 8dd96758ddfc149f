"""Smooth curves and tapered strokes as point arrays in face coordinates."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np

__all__ = ["SIDES", "ellipse", "mirror", "moved", "spline", "stroke"]

Points = np.ndarray | Sequence[tuple[float, float] | np.ndarray]

SIDES = (-1, 1)
"""The left and the right half of the image, as signs of x."""


@lru_cache(maxsize=256)
def _catmull_rom(count: int, steps: int, closed: bool) -> np.ndarray:
    """(N, P) matrix from P control points to N points of the curve."""
    segments = count if closed else count - 1

    # (steps, 4) weights of the four control points around a segment
    t = np.arange(steps)[:, None] / steps
    basis = 0.5 * np.concatenate(
        [-t + 2 * t**2 - t**3, 2 - 5 * t**2 + 3 * t**3, t + 4 * t**2 - 3 * t**3, t**3 - t**2],
        axis=1,
    )

    matrix = np.zeros((segments * steps + (not closed), count))
    for segment in range(segments):
        for column, offset in enumerate((-1, 0, 1, 2)):
            # past its ends an open curve repeats the end points
            point = segment + offset
            point = point % count if closed else min(max(point, 0), count - 1)
            matrix[segment * steps : (segment + 1) * steps, point] += basis[:, column]

    # an open curve also includes its last control point
    if not closed:
        matrix[-1, -1] = 1
    return matrix


def spline(points: Points, *, closed: bool = False, steps: int = 5) -> np.ndarray:
    """Catmull-Rom curve through control points: (P, 2) → (N, 2), `steps` points per segment."""
    control = np.asarray(points, dtype=np.float64)
    return _catmull_rom(len(control), steps, closed) @ control


@lru_cache(maxsize=16)
def _unit_circle(count: int) -> np.ndarray:
    angle = np.linspace(0, 2 * np.pi, count, endpoint=False)
    return np.stack([np.cos(angle), np.sin(angle)], axis=1)


def ellipse(x: float, y: float, rx: float, ry: float, *, count: int = 18) -> np.ndarray:
    """Closed outline (count, 2) of an ellipse."""
    return _unit_circle(count) * (rx, ry) + (x, y)


def moved(points: np.ndarray, dx: float, dy: float) -> np.ndarray:
    """Points (N, 2), shifted."""
    return points + np.array([dx, dy])


def mirror(points: np.ndarray) -> np.ndarray:
    """Closed outline of a half outline (x ≥ 0, from top to bottom) and its mirror image."""
    return np.concatenate([points, (points * (-1, 1))[::-1]])


@lru_cache(maxsize=64)
def _taper(count: int, start: float, end: float) -> np.ndarray:
    """(count,) relative width along a stroke."""
    t = np.linspace(0, 1, count)
    body = np.sin(np.pi * (0.08 + 0.84 * t)) ** 0.7
    return body * (start + (end - start) * t)


def stroke(points: np.ndarray, width: float, *, start: float = 1.0, end: float = 1.0) -> np.ndarray:
    """Closed outline of a line that swells and tapers.

    Args:
        points: (N, 2) along the line.
        width: Width at the widest point.
        start, end: Relative width toward the first and the last point.
    """
    # complex numbers turn a direction by 90° with one multiplication
    z = np.ascontiguousarray(points).view(np.complex128)[:, 0]

    across = np.empty_like(z)
    across[1:-1] = z[2:] - z[:-2]
    across[0], across[-1] = z[1] - z[0], z[-1] - z[-2]
    across *= (0.5j * width) * _taper(len(z), start, end) / (np.abs(across) + 1e-9)

    return np.concatenate([z + across, (z - across)[::-1]]).view(np.float64).reshape(-1, 2)
