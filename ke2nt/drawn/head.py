"""The head: outline, ears, neck, shoulders and the soft relief of forehead, cheeks and chin."""

from __future__ import annotations

import numpy as np

from ke2nt.drawn.curves import ellipse, mirror, spline
from ke2nt.drawn.expression import ActionUnits
from ke2nt.drawn.identity import Identity
from ke2nt.drawn.palette import Palette
from ke2nt.drawn.scene import Scene, mix

__all__ = ["draw_body", "draw_head", "head_outline", "jaw_drop"]


def jaw_drop(units: ActionUnits) -> float:
    """How far the jaw hangs, in face units (AU26, AU27)."""
    return 0.14 * units.both(26) + 0.23 * units.both(27)


def head_outline(who: Identity, drop: float = 0.0) -> np.ndarray:
    """Closed outline (N, 2) of the head; the lower half hangs with the jaw."""
    w, jaw, chin, low = who.width, who.jaw, who.chin, who.length
    half = np.array(
        [
            (0.0, -1.04),
            (0.4 * w, -0.97),
            (0.66 * w, -0.68),
            (0.735 * w, -0.28),
            (0.725 * w, 0.1),
            (0.655 * w * (0.5 + 0.5 * jaw), 0.43),
            (0.52 * w * jaw, 0.7 * low),
            (0.3 * w * (0.4 * jaw + 0.6 * chin), 0.93 * low),
            (0.12 * w * chin, 1.005 * low),
            (0.0, 1.015 * low),
        ]
    )
    half[:, 1] += drop * ((half[:, 1] - 0.25) / 0.55).clip(0, 1)
    left = (half * (-1, 1))[-2:0:-1]
    return spline(np.concatenate([half, left]), closed=True, steps=4)


def draw_body(scene: Scene, who: Identity, units: ActionUnits, palette: Palette) -> None:
    """Neck, shoulders and ears."""
    neck = 0.36 if who.attributes["gender"] == "female" else 0.44
    neck *= 0.86 if who.attributes["age"] == "child" else 1.0
    dark = mix(palette.skin, palette.fold, 0.42)
    y = np.array([0.55, 1.2, 1.5, 2.2])
    side = np.stack([np.array([neck, neck, neck * 1.25, neck * 1.3]), y], axis=1)
    scene.fill("back", mirror(side), dark, depth=-0.25, outlined=True)
    shoulder = spline([(0.0, 1.52), (neck, 1.42), (0.9, 1.62), (1.35, 1.9), (1.4, 2.4)], steps=4)
    scene.fill("back", mirror(shoulder), palette.cloth, depth=-0.3, outlined=True)
    w = who.width
    for s in (-1, 1):
        ear = ellipse(s * 0.745 * w, 0.08, 0.085, 0.2)
        scene.fill("back", ear, mix(palette.skin, palette.fold, 0.2), depth=-0.25, outlined=True)
        inner = ellipse(s * 0.76 * w, 0.07, 0.035, 0.12)
        scene.fill("back", inner, mix(palette.skin, palette.fold, 0.55), depth=-0.25)


def draw_head(scene: Scene, who: Identity, units: ActionUnits, palette: Palette) -> None:
    """The skin and its relief; AU6 and AU12 round the cheeks, AU17 puckers the chin."""
    drop = jaw_drop(units)
    scene.fill("skin", head_outline(who, drop), palette.skin, outlined=True)
    w = who.width
    scene.fill("broad", ellipse(0, -0.6, 0.38, 0.2), palette.gleam, alpha=0.45)
    for s in (-1, 1):
        smile = max(units(12, s), 0.8 * units(6, s))
        temple = spline(
            [(s * 0.78 * w, -0.5), (s * 0.6 * w, -0.15), (s * 0.72 * w, 0.1)], closed=True
        )
        scene.fill("broad", temple, palette.shade, alpha=0.3)
        hollow = [(s * 0.7 * w, 0.2), (s * 0.5, 0.38), (s * 0.34, 0.68), (s * 0.6 * w, 0.62)]
        hollow_alpha = 0.22 + 0.2 * who.wrinkles - 0.1 * smile
        scene.fill("broad", spline(hollow, closed=True), palette.shade, alpha=hollow_alpha)
        cheek = ellipse(s * 0.43, 0.26 - 0.06 * smile, 0.17 + 0.03 * smile, 0.13)
        scene.fill("broad", cheek, palette.gleam, alpha=0.3 + 0.45 * smile)
        blush = ellipse(s * 0.44, 0.32 - 0.07 * smile, 0.2, 0.14)
        scene.fill("broad", blush, palette.blush, alpha=0.35 + 0.35 * smile)
    low = 0.9 * who.length + drop
    pucker = units.both(17)
    scene.fill("broad", ellipse(0, low - 0.02, 0.13, 0.07), palette.gleam, alpha=0.4)
    for x, y in ((-0.07, 0.0), (0.06, 0.02), (0.0, -0.045), (-0.02, 0.045), (0.09, -0.03)):
        dimple = ellipse(x, low - 0.03 + y, 0.02, 0.016, count=8)
        scene.fill("fine", dimple, palette.shade, alpha=0.75 * pucker - 0.1)
