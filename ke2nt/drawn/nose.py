"""Nose and the folds beside it."""

from __future__ import annotations

import numpy as np

from ke2nt.drawn.curves import ellipse, moved, spline
from ke2nt.drawn.expression import ActionUnits
from ke2nt.drawn.identity import Identity
from ke2nt.drawn.mouth import Mouth
from ke2nt.drawn.palette import Palette
from ke2nt.drawn.scene import Scene

__all__ = ["draw_nose", "nose_base"]


def nose_base(who: Identity, units: ActionUnits) -> float:
    """Height of the base of the nose; AU9 and AU10 draw it up."""
    rise = 0.05 * units.both(9) + 0.018 * units.both(10)
    return (0.36 * who.nose_length + 0.3 * who.eye_y) - rise


def draw_nose(
    scene: Scene, who: Identity, units: ActionUnits, palette: Palette, mouth: Mouth, light: float
) -> None:
    """Ridge, wings and nostrils, wrinkles of AU9, nasolabial folds.

    Args:
        mouth: Where the folds end.
        light: Side from which light falls, −1 (left of the picture) to 1.
    """
    y = nose_base(who, units)
    wrinkle = units.both(9)
    wing = 0.135 * who.nose_width * (1 + 0.1 * units.both(38) + 0.12 * wrinkle)
    away = -1 if light > 0 else 1
    side = [(away * 0.07, -0.24), (away * 0.05, 0.0), (away * 0.07, y - 0.12), (away * wing, y)]
    back = [
        (away * (wing + 0.06), y),
        (away * 0.16, y - 0.15),
        (away * 0.13, 0.0),
        (away * 0.14, -0.2),
    ]
    shadow = spline(side + back, closed=True, steps=3)
    scene.fill("fine", shadow, palette.shade, alpha=0.24 + 0.16 * abs(light), depth=0.04)
    ridge = np.array([(0, -0.18), (0, 0.05), (0, y - 0.06)])
    scene.line("fine", ridge, 0.06, palette.gleam, alpha=0.55, depth=0.07, end=1.3)
    scene.fill("fine", ellipse(0, y - 0.03, 0.055, 0.045), palette.gleam, alpha=0.5, depth=0.12)
    under = spline(
        [(-wing, y + 0.01), (0, y + 0.085), (wing, y + 0.01), (0, y + 0.03)], closed=True
    )
    scene.fill("fine", under, palette.shade, alpha=0.5, depth=0.06)
    tip = spline([(-0.06, y + 0.032), (0, y + 0.062), (0.06, y + 0.032)], steps=4)
    scene.line("front", tip, 0.02, palette.fold, alpha=0.5, depth=0.09)
    for s in (-1, 1):
        lift = 0.02 * (units(9, s) + units(10, s))
        alar = spline(
            [
                (s * wing * 0.8, y - 0.1),
                (s * wing * 1.04, y - 0.04),
                (s * wing * 1.0, y + 0.02),
                (s * wing * 0.7, y + 0.035),
            ],
            steps=4,
        )
        scene.line("front", moved(alar, 0, -lift), 0.024, palette.fold, alpha=0.62, depth=0.04)
        flare = 1 + 0.35 * units(38, s) + 0.2 * units(9, s)
        hole = ellipse(s * wing * 0.5, y + 0.022 - lift, 0.036 * flare, 0.017 * flare, count=12)
        scene.fill("front", hole, palette.fold, alpha=0.9, depth=0.07)
        _draw_fold(scene, who, units, palette, mouth, s, wing, y)
    if wrinkle > 0.15:
        _draw_wrinkles(scene, palette, wrinkle, who.eye_y)


def _draw_wrinkles(scene: Scene, palette: Palette, strength: float, shift: float) -> None:
    """Bunched skin over the bridge."""
    for y, half in ((-0.17, 0.06), (-0.1, 0.075), (-0.03, 0.07)):
        line = spline(
            [(-half, y + shift + 0.02), (0, y + shift - 0.008), (half, y + shift + 0.02)], steps=4
        )
        scene.line("front", line, 0.022, palette.fold, alpha=0.7 * strength, depth=0.06)
    for s in (-1, 1):
        for dy in (0.0, 0.07):
            slant = spline(
                [
                    (s * 0.07, -0.02 + dy + shift),
                    (s * 0.12, 0.05 + dy + shift),
                    (s * 0.13, 0.13 + dy + shift),
                ],
                steps=3,
            )
            scene.line("front", slant, 0.02, palette.fold, alpha=0.5 * strength, depth=0.03)


def _draw_fold(
    scene: Scene,
    who: Identity,
    units: ActionUnits,
    palette: Palette,
    mouth: Mouth,
    s: int,
    wing: float,
    y: float,
) -> None:
    smile, sneer = units(12, s), max(units(10, s), units(9, s))
    corner = mouth.corner(s)
    bulge = 0.05 * smile + 0.035 * sneer
    start = (s * (wing + 0.025), y - 0.06 - 0.03 * sneer)
    middle = (
        0.5 * (start[0] + corner[0]) + s * (0.05 + bulge),
        0.5 * (start[1] + corner[1]) - 0.02 - 0.3 * bulge,
    )
    end = (corner[0] + s * (0.065 + 0.02 * smile), corner[1] - 0.01 + 0.03 * (1 - smile))
    fold = spline([start, middle, end], steps=6)
    strength = 0.1 + max(0.75 * smile, 0.95 * sneer, 0.3 * units(20, s), 0.25 * units(15, s))
    strength += 0.35 * who.wrinkles
    scene.line("fine", fold, 0.05, palette.shade, alpha=0.85 * strength)
    scene.line("front", fold, 0.02, palette.fold, alpha=0.42 * strength)
    above = moved(fold, s * 0.045, -0.03)
    scene.line("fine", above, 0.05, palette.gleam, alpha=0.4 * strength)
