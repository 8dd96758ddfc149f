"""Brows that rise, knit and slant, and the lines of the forehead."""

from __future__ import annotations

import numpy as np

from ke2nt.drawn.curves import SIDES, moved, spline
from ke2nt.drawn.expression import ActionUnits
from ke2nt.drawn.face import Face
from ke2nt.drawn.identity import Identity
from ke2nt.drawn.scene import Scene

__all__ = ["brow_line", "draw_brows"]

# How action units move the four control points of a brow, inner to outer, in face units
_INNER_RAISE = np.array([-0.125, -0.075, 0.0, 0.02])
_OUTER_RAISE = np.array([-0.045, -0.105, -0.135, -0.085])
_PRESS = np.array([0.125, 0.085, 0.015, -0.02])
_NOSE_WRINKLE = np.array([0.06, 0.04, 0.015, 0.0])
_KNIT = np.array([0.055, 0.04, 0.02, 0.0])

_FOREHEAD_RISES = (0.13, 0.22, 0.31)


def brow_line(person: Identity, units: ActionUnits, side: int) -> np.ndarray:
    """Center line (N, 2) of one brow, inner to outer."""
    x = 0.335 * person.eye_spacing
    y = -0.29 + person.eye_y + person.brow_y
    half = 0.205 * (0.8 + 0.2 * person.eye_size)
    points = np.array(
        [
            (x - half, y + 0.018 - person.brow_tilt),
            (x - 0.45 * half, y - 0.012 - 0.5 * person.brow_tilt - 0.3 * person.brow_arch),
            (x + 0.3 * half, y - 0.016 - person.brow_arch),
            (x + half, y + 0.04),
        ]
    )

    # AU1 with AU4 draws the inner ends up and together; AU4 alone presses the whole brow down
    inner, outer, knit = units(1, side), units(2, side), units(4, side)
    press = knit * (1 - 0.75 * min(1.0, inner))
    points[:, 1] += inner * _INNER_RAISE
    points[:, 1] += outer * _OUTER_RAISE
    points[:, 1] += press * _PRESS
    points[:, 1] += units(9, side) * _NOSE_WRINKLE
    points[:, 1] += 0.02 * units(6, side) - 0.012 * units(5, side)
    points[:, 0] -= knit * _KNIT
    return spline(points * (side, 1), steps=5)


def draw_brows(scene: Scene, face: Face) -> None:
    """Brows, the furrow between them (AU4) and the lines of the forehead (AU1, AU2, age)."""
    for side in SIDES:
        _draw_brow(scene, face, side)

    # Forehead lines that are too faint to see are not drawn
    lift = 0.5 * (face.units.both(1) + face.units.both(2))
    wrinkles = face.person.wrinkles
    line_alpha = (0.75 * lift - 0.12) * (0.5 + 0.6 * wrinkles) + 0.2 * wrinkles
    if line_alpha >= 0.04:
        _draw_forehead_lines(scene, face, line_alpha)


def _draw_brow(scene: Scene, face: Face, side: int) -> None:
    palette = face.palette
    thick = 0.062 * face.person.brow_thickness
    line = brow_line(face.person, face.units, side)
    knit = face.units(4, side)

    # Shadow below, then the hair in two strokes: a soft wide one and a dense one
    scene.line("fine", moved(line, 0, 0.06), 0.07, palette.shade, alpha=0.3 * knit + 0.08)
    scene.line("front", line, thick * 1.25, palette.brow, alpha=0.45, start=1.25, end=0.55)
    scene.line("front", line, thick * 0.8, palette.brow, alpha=0.85, start=1.2, end=0.45)

    furrow = knit * (0.8 + 0.3 * face.person.wrinkles) + 0.12 * face.person.wrinkles
    x, y = side * 0.055, line[0, 1]
    crease = spline([(x * 0.8, y - 0.07), (x, y), (x * 0.75, y + 0.075)], steps=3)
    scene.line("front", crease, 0.022, palette.fold, alpha=0.62 * furrow)


def _draw_forehead_lines(scene: Scene, face: Face, line_alpha: float) -> None:
    units = face.units
    for i, rise in enumerate(_FOREHEAD_RISES):
        for side in SIDES:
            share = 0.5 + 0.5 * max(units(1, side), units(2, side))

            # the wave follows the brow below it
            y = -0.36 - rise + face.person.eye_y
            bend = 0.03 * units(2, side) - 0.03 * units(1, side) * units(4, side)
            outer = (side * (0.4 - 0.03 * i), y + 0.03)
            wave = spline([(0, y + 0.012), (side * 0.2, y - bend), outer], steps=4)
            scene.line("front", wave, 0.018, face.palette.fold, alpha=0.7 * line_alpha * share)
