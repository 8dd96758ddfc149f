"""Eyes and brows: lids that open and narrow, gaze, brows that rise, knit and slant."""

from __future__ import annotations

import numpy as np

from ke2nt.drawn.curves import ellipse, moved, spline
from ke2nt.drawn.expression import ActionUnits
from ke2nt.drawn.identity import Identity
from ke2nt.drawn.palette import Palette
from ke2nt.drawn.scene import Scene, mix

__all__ = ["brow_line", "draw_brows", "draw_eyes", "eye_lids"]

_T = np.linspace(-1, 1, 13)
_ARCH = (1 - _T**2) ** 0.75


def eye_lids(who: Identity, units: ActionUnits, s: int) -> tuple[np.ndarray, np.ndarray]:
    """Edges of the upper and lower lid of one side (s = −1 or 1), each (13, 2), inner to outer."""
    x = s * 0.335 * who.eye_spacing
    y = -0.06 + who.eye_y
    half = 0.185 * who.eye_size
    squint, closure = units(7, s), units(43, s)
    raised, knit = units(1, s), units(4, s)
    top = 0.098 * who.eye_size * who.eye_open
    top *= 1 + 0.6 * units(5, s) - 0.3 * squint - 0.28 * units(6, s) - 0.2 * units(9, s)
    top *= 1 - 0.62 * closure
    low = 0.062 * who.eye_size
    low *= 1 + 0.12 * units(5, s) - 0.55 * squint - 0.75 * units(6, s) - 0.4 * units(9, s)
    # The inner corner of the lid follows the brow: up in sadness and fear, down in anger.
    slant = 0.45 * min(raised, 1) * (0.4 + 0.6 * knit) - 0.5 * knit * (1 - min(1, 1.3 * raised))
    shape = _ARCH * (1 - slant * _T)
    line = y - who.eye_tilt * _T
    base = x + s * half * _T
    upper = np.stack([base, line - top * shape], axis=1)
    lower = np.stack([base, line + low * _ARCH], axis=1)
    return upper, lower


def _between(points: np.ndarray, upper: np.ndarray, lower: np.ndarray) -> np.ndarray:
    order = slice(None) if upper[0, 0] < upper[-1, 0] else slice(None, None, -1)
    x = points[:, 0].clip(upper[:, 0].min(), upper[:, 0].max())
    high = np.interp(x, upper[order, 0], upper[order, 1])
    deep = np.interp(x, lower[order, 0], lower[order, 1])
    return np.stack([x, points[:, 1].clip(high, np.maximum(high, deep))], axis=1)


def draw_eyes(
    scene: Scene, who: Identity, units: ActionUnits, palette: Palette, gaze: tuple[float, float]
) -> None:
    """Both eyes; `gaze` shifts the irises, in face units."""
    female = who.attributes["gender"] == "female"
    for s in (-1, 1):
        upper, lower = eye_lids(who, units, s)
        center = upper[6, 0], -0.06 + who.eye_y
        half = 0.185 * who.eye_size
        socket = ellipse(center[0] - s * 0.02, center[1] - 0.04, half * 1.25, 0.17)
        scene.fill("broad", socket, palette.shade, alpha=0.32)
        _draw_lid_folds(scene, who, units, palette, s, upper, lower)
        outline = np.concatenate([upper, lower[::-1]])
        scene.fill("front", outline, palette.white)
        shadow = np.concatenate([upper, moved(upper, 0, 0.03)[::-1]])
        scene.fill("front", _between(shadow, upper, lower), palette.fold, alpha=0.28)
        x = center[0] + gaze[0]
        y = center[1] - 0.018 + gaze[1] + 0.055 * units(64, s)
        radius = 0.088 * (0.94 + 0.06 * who.eye_size)
        ring = mix(palette.iris, (14, 10, 12), 0.6)
        for r, color in ((1.0, ring), (0.82, palette.iris), (0.47, (12, 9, 11))):
            disc = ellipse(x, y, radius * r, radius * r, count=22)
            scene.fill("front", _between(disc, upper, lower), color)
        spark = ellipse(x - 0.03, y - 0.032, 0.024, 0.024, count=8)
        scene.fill("front", _between(spark, upper, lower), (255, 255, 255), alpha=0.92)
        lash = moved(upper, 0, -0.006)
        width = 0.048 if female else 0.036
        scene.line("front", lash, width, palette.lash, alpha=0.95, start=0.55, end=1.3)
        if female:
            tip = upper[-1]
            wing = tip + np.array([(-s * 0.02, -0.012), (0, 0), (s * 0.045, -0.035)])
            scene.line("front", wing, 0.024, palette.lash, alpha=0.9, end=0.3)
        scene.line("front", lower, 0.018, palette.fold, alpha=0.55, start=0.5)


def _draw_lid_folds(
    scene: Scene,
    who: Identity,
    units: ActionUnits,
    palette: Palette,
    s: int,
    upper: np.ndarray,
    lower: np.ndarray,
) -> None:
    """Crease above, pouch below, crow's feet beside the eye (AU6, AU7, age)."""
    cheek = max(units(6, s), 0.5 * units(7, s), 0.6 * units(9, s))
    crease = moved(upper[1:], 0, -0.05 + 0.025 * units(5, s))
    crease_alpha = who.crease * 0.6 * (1 - 0.5 * units(5, s))
    scene.line("front", crease, 0.02, palette.fold, alpha=crease_alpha)
    pouch = moved(lower[2:-1], 0, 0.055 - 0.012 * cheek)
    pouch_alpha = 0.12 + 0.55 * cheek + 0.3 * who.wrinkles
    scene.line("fine", pouch, 0.03, palette.shade, alpha=pouch_alpha)
    feet = units(6, s) * (0.45 + 0.5 * who.wrinkles) + 0.25 * who.wrinkles
    if feet > 0.12:
        x, y = upper[-1]
        for dy, rise in ((-0.03, -0.05), (0.012, 0.0), (0.05, 0.045)):
            foot = np.array(
                [
                    (x + s * 0.03, y + dy),
                    (x + s * 0.075, y + dy + 0.6 * rise),
                    (x + s * 0.12, y + dy + rise),
                ]
            )
            scene.line("front", foot, 0.014, palette.fold, alpha=0.6 * feet)


def brow_line(who: Identity, units: ActionUnits, s: int) -> np.ndarray:
    """Center line (N, 2) of one brow, inner to outer."""
    x = 0.335 * who.eye_spacing
    y = -0.29 + who.eye_y + who.brow_y
    half = 0.205 * (0.8 + 0.2 * who.eye_size)
    inner, outer, knit = units(1, s), units(2, s), units(4, s)
    # AU1 with AU4 draws the inner ends up and together; AU4 alone presses the whole brow down.
    press = knit * (1 - 0.75 * min(1.0, inner))
    points = np.array(
        [
            (x - half, y + 0.018 - who.brow_tilt),
            (x - 0.45 * half, y - 0.012 - 0.5 * who.brow_tilt - 0.3 * who.brow_arch),
            (x + 0.3 * half, y - 0.016 - who.brow_arch),
            (x + half, y + 0.04),
        ]
    )
    points[:, 1] += inner * np.array([-0.125, -0.075, 0.0, 0.02])
    points[:, 1] += outer * np.array([-0.045, -0.105, -0.135, -0.085])
    points[:, 1] += press * np.array([0.125, 0.085, 0.015, -0.02])
    points[:, 1] += units(9, s) * np.array([0.06, 0.04, 0.015, 0.0])
    points[:, 1] += 0.02 * units(6, s) - 0.012 * units(5, s)
    points[:, 0] -= knit * np.array([0.055, 0.04, 0.02, 0.0])
    return spline(points * (s, 1), steps=5)


def draw_brows(scene: Scene, who: Identity, units: ActionUnits, palette: Palette) -> None:
    """Brows, the furrow between them (AU4) and the lines of the forehead (AU1, AU2, age)."""
    thick = 0.062 * who.brow_thickness
    for s in (-1, 1):
        line = brow_line(who, units, s)
        scene.line(
            "fine", moved(line, 0, 0.06), 0.07, palette.shade, alpha=0.3 * units(4, s) + 0.08
        )
        scene.line("front", line, thick * 1.25, palette.brow, alpha=0.45, start=1.25, end=0.55)
        scene.line("front", line, thick * 0.8, palette.brow, alpha=0.85, start=1.2, end=0.45)
        furrow = units(4, s) * (0.8 + 0.3 * who.wrinkles) + 0.12 * who.wrinkles
        x, y = s * 0.055, line[0, 1]
        crease = spline([(x * 0.8, y - 0.07), (x, y), (x * 0.75, y + 0.075)], steps=3)
        scene.line("front", crease, 0.022, palette.fold, alpha=0.62 * furrow)
    lift = 0.5 * (units.both(1) + units.both(2))
    line_alpha = (0.75 * lift - 0.12) * (0.5 + 0.6 * who.wrinkles) + 0.2 * who.wrinkles
    if line_alpha < 0.04:
        return
    for i, rise in enumerate((0.13, 0.22, 0.31)):
        for s in (-1, 1):
            share = 0.5 + 0.5 * max(units(1, s), units(2, s))
            y = -0.36 - rise + who.eye_y
            bend = 0.03 * units(2, s) - 0.03 * units(1, s) * units(4, s)
            wave = spline(
                [(0, y + 0.012), (s * 0.2, y - bend), (s * (0.4 - 0.03 * i), y + 0.03)], steps=4
            )
            scene.line("front", wave, 0.018, palette.fold, alpha=0.7 * line_alpha * share)
