"""Nose and the folds beside it."""

from __future__ import annotations

import numpy as np

from ke2nt.drawn.curves import SIDES, ellipse, moved, spline
from ke2nt.drawn.expression import ActionUnits
from ke2nt.drawn.face import Face
from ke2nt.drawn.identity import Identity
from ke2nt.drawn.scene import Scene

__all__ = ["draw_nose", "nose_base"]

# Bunched skin over the bridge: height and half width of each wrinkle
_BRIDGE_WRINKLES = ((-0.17, 0.06), (-0.1, 0.075), (-0.03, 0.07))


def nose_base(person: Identity, units: ActionUnits) -> float:
    """Height of the base of the nose; AU9 and AU10 draw it up."""
    rise = 0.05 * units.both(9) + 0.018 * units.both(10)
    return (0.36 * person.nose_length + 0.3 * person.eye_y) - rise


def draw_nose(scene: Scene, face: Face, light: float) -> None:
    """Ridge, wings and nostrils, wrinkles of AU9, nasolabial folds.

    Args:
        light: Side from which light falls, −1 (left of the image) to 1.
    """
    palette, y, wing = face.palette, nose_base(face.person, face.units), _wing_width(face)

    # The side away from the light lies in shadow
    away = -1 if light > 0 else 1
    front = [(away * 0.07, -0.24), (away * 0.05, 0.0), (away * 0.07, y - 0.12), (away * wing, y)]
    back = [
        (away * (wing + 0.06), y),
        (away * 0.16, y - 0.15),
        (away * 0.13, 0.0),
        (away * 0.14, -0.2),
    ]
    shadow = spline(front + back, closed=True, steps=3)
    scene.fill("fine", shadow, palette.shade, alpha=0.24 + 0.16 * abs(light), depth=0.04)

    # Light along the ridge and on the tip
    ridge = np.array([(0, -0.18), (0, 0.05), (0, y - 0.06)])
    scene.line("fine", ridge, 0.06, palette.gleam, alpha=0.55, depth=0.07, end=1.3)
    scene.fill("fine", ellipse(0, y - 0.03, 0.055, 0.045), palette.gleam, alpha=0.5, depth=0.12)

    under = [(-wing, y + 0.01), (0, y + 0.085), (wing, y + 0.01), (0, y + 0.03)]
    scene.fill("fine", spline(under, closed=True), palette.shade, alpha=0.5, depth=0.06)
    tip = spline([(-0.06, y + 0.032), (0, y + 0.062), (0.06, y + 0.032)], steps=4)
    scene.line("front", tip, 0.02, palette.fold, alpha=0.5, depth=0.09)

    for side in SIDES:
        _draw_wing(scene, face, side)
        _draw_fold(scene, face, side)
    if face.units.both(9) > 0.15:
        _draw_wrinkles(scene, face)


def _wing_width(face: Face) -> float:
    """Half the width of the nose at its base; AU9 and AU38 widen it."""
    units = face.units
    return 0.135 * face.person.nose_width * (1 + 0.1 * units.both(38) + 0.12 * units.both(9))


def _draw_wing(scene: Scene, face: Face, side: int) -> None:
    """Wing and nostril of one side."""
    units, palette = face.units, face.palette
    y, wing = nose_base(face.person, units), _wing_width(face)
    lift = 0.02 * (units(9, side) + units(10, side))

    edge = [
        (side * wing * 0.8, y - 0.1),
        (side * wing * 1.04, y - 0.04),
        (side * wing * 1.0, y + 0.02),
        (side * wing * 0.7, y + 0.035),
    ]
    curve = moved(spline(edge, steps=4), 0, -lift)
    scene.line("front", curve, 0.024, palette.fold, alpha=0.62, depth=0.04)

    # AU38 flares the nostril
    flare = 1 + 0.35 * units(38, side) + 0.2 * units(9, side)
    hole = ellipse(side * wing * 0.5, y + 0.022 - lift, 0.036 * flare, 0.017 * flare, count=12)
    scene.fill("front", hole, palette.fold, alpha=0.9, depth=0.07)


def _draw_wrinkles(scene: Scene, face: Face) -> None:
    """Bunched skin over the bridge and beside it (AU9)."""
    fold, strength, shift = face.palette.fold, face.units.both(9), face.person.eye_y

    for y, half in _BRIDGE_WRINKLES:
        middle, end = y + shift - 0.008, y + shift + 0.02
        line = spline([(-half, end), (0, middle), (half, end)], steps=4)
        scene.line("front", line, 0.022, fold, alpha=0.7 * strength, depth=0.06)

    # Two slanted lines on either side
    for side in SIDES:
        for dy in (0.0, 0.07):
            points = [
                (side * 0.07, -0.02 + dy + shift),
                (side * 0.12, 0.05 + dy + shift),
                (side * 0.13, 0.13 + dy + shift),
            ]
            slant = spline(points, steps=3)
            scene.line("front", slant, 0.02, fold, alpha=0.5 * strength, depth=0.03)


def _draw_fold(scene: Scene, face: Face, side: int) -> None:
    """Nasolabial fold, from the wing of the nose past the corner of the mouth."""
    units, palette = face.units, face.palette
    y, wing = nose_base(face.person, units), _wing_width(face)
    smile, sneer = units(12, side), max(units(10, side), units(9, side))
    corner = face.mouth.corner(side)

    # A smile or a sneer pushes the fold outward
    bulge = 0.05 * smile + 0.035 * sneer
    start = (side * (wing + 0.025), y - 0.06 - 0.03 * sneer)
    middle = (
        0.5 * (start[0] + corner[0]) + side * (0.05 + bulge),
        0.5 * (start[1] + corner[1]) - 0.02 - 0.3 * bulge,
    )
    end = (corner[0] + side * (0.065 + 0.02 * smile), corner[1] - 0.01 + 0.03 * (1 - smile))
    fold = spline([start, middle, end], steps=6)

    # Soft shadow, sharp line, and light on the cheek above
    strength = 0.1 + max(0.75 * smile, 0.95 * sneer, 0.3 * units(20, side), 0.25 * units(15, side))
    strength += 0.35 * face.person.wrinkles
    scene.line("fine", fold, 0.05, palette.shade, alpha=0.85 * strength)
    scene.line("front", fold, 0.02, palette.fold, alpha=0.42 * strength)
    above = moved(fold, side * 0.045, -0.03)
    scene.line("fine", above, 0.05, palette.gleam, alpha=0.4 * strength)
