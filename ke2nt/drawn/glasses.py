"""Glasses with round or square lenses, and sunglasses."""

from __future__ import annotations

import numpy as np

from ke2nt.drawn.colors import WHITE, Color
from ke2nt.drawn.curves import SIDES, ellipse, spline
from ke2nt.drawn.face import Face
from ke2nt.drawn.scene import Scene

__all__ = ["draw_glasses"]

_DEPTH = 0.12
_DARK: Color = (26, 24, 30)

# Corners of a square lens in half widths and half heights
_SQUARE_LENS = ((-0.85, -0.9), (0.85, -0.9), (1, 0), (0.8, 0.95), (-0.8, 0.95), (-1, 0))
_SQUARE_HALF_WIDTH, _SQUARE_HALF_HEIGHT = 0.265, 0.18


def draw_glasses(scene: Scene, face: Face, *, dark: bool = False) -> None:
    """The person's glasses, if any; with `dark`, sunglasses that hide the eyes."""
    shape = face.person.attributes["glasses"]
    if shape == "none" and not dark:
        return

    frame = face.palette.frame
    x, y = 0.335 * face.person.eye_spacing, -0.03 + face.person.eye_y
    for side in SIDES:
        lens = _lens(side * x, y, square=shape == "square" or dark)
        _draw_lens(scene, lens, side * x, y, dark=dark)
        scene.fill("top", _ring(np.concatenate([lens, lens[:1]]), 0.022), frame, depth=_DEPTH)

        # the arm runs along the side of the head
        w = face.person.width
        hinge, temple = (side * (x + 0.25), y - 0.05), (side * 0.68 * w, y - 0.04)
        arm = np.array([hinge, temple, (side * 0.76 * w, y - 0.03)])
        scene.line("top", arm, 0.035, frame, depth=0.02)

    bridge = spline([(-x + 0.24, y - 0.03), (0, y - 0.07), (x - 0.24, y - 0.03)], steps=4)
    scene.line("top", bridge, 0.032, frame, depth=0.14)


def _lens(x: float, y: float, *, square: bool) -> np.ndarray:
    """Closed outline (N, 2) of a lens around (x, y)."""
    if not square:
        return ellipse(x, y, 0.245, 0.215, count=26)
    corners = [(x + i * _SQUARE_HALF_WIDTH, y + j * _SQUARE_HALF_HEIGHT) for i, j in _SQUARE_LENS]
    return spline(corners, closed=True, steps=4)


def _draw_lens(scene: Scene, lens: np.ndarray, x: float, y: float, *, dark: bool) -> None:
    """A dark lens, or the glint on a clear one."""
    if dark:
        scene.fill("top", lens, _DARK, alpha=0.94, depth=_DEPTH)
    else:
        glint = spline([(x - 0.12, y - 0.1), (x - 0.06, y - 0.13), (x, y - 0.14)], steps=3)
        scene.line("top", glint, 0.03, WHITE, alpha=0.35, depth=_DEPTH)


def _ring(loop: np.ndarray, half: float) -> np.ndarray:
    """Outline of a closed line, `half` to either side of it."""
    center = loop[:-1].mean(axis=0)
    out = loop - center
    out = out / np.sqrt((out * out).sum(axis=1, keepdims=True)) * half
    return np.concatenate([loop + out, (loop - out)[::-1]])
