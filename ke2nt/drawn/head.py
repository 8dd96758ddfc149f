"""The head: outline, ears, neck, shoulders and the soft relief of forehead, cheeks and chin."""

from __future__ import annotations

import numpy as np

from ke2nt.drawn.colors import mix
from ke2nt.drawn.curves import SIDES, ellipse, mirror, spline
from ke2nt.drawn.face import Face
from ke2nt.drawn.identity import Identity
from ke2nt.drawn.mouth_shape import jaw_drop
from ke2nt.drawn.scene import Scene

__all__ = ["draw_body", "draw_head", "head_outline"]

# Dimples of a puckered chin, around its middle
_CHIN_DIMPLES = ((-0.07, 0.0), (0.06, 0.02), (0.0, -0.045), (-0.02, 0.045), (0.09, -0.03))


def head_outline(person: Identity, drop: float = 0.0) -> np.ndarray:
    """Closed outline (N, 2) of the head.

    Args:
        person: Width, jaw, chin and length.
        drop: How far the jaw hangs, in face units.
    """
    w, jaw, chin, low = person.width, person.jaw, person.chin, person.length

    # right half, from the crown over temple, cheekbone and jaw to the chin
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

    # the lower a point, the more it hangs with the jaw
    half[:, 1] += drop * ((half[:, 1] - 0.25) / 0.55).clip(0, 1)
    left = (half * (-1, 1))[-2:0:-1]
    return spline(np.concatenate([half, left]), closed=True, steps=4)


def draw_body(scene: Scene, face: Face) -> None:
    """Neck, shoulders and ears."""
    person, palette = face.person, face.palette

    neck = 0.36 if person.attributes["gender"] == "female" else 0.44
    neck *= 0.86 if person.attributes["age"] == "child" else 1.0
    y = np.array([0.55, 1.2, 1.5, 2.2])
    side_line = np.stack([np.array([neck, neck, neck * 1.25, neck * 1.3]), y], axis=1)
    shadow = mix(palette.skin, palette.fold, 0.42)
    scene.fill("back", mirror(side_line), shadow, depth=-0.25, outlined=True)

    shoulder = spline([(0.0, 1.52), (neck, 1.42), (0.9, 1.62), (1.35, 1.9), (1.4, 2.4)], steps=4)
    scene.fill("back", mirror(shoulder), palette.cloth, depth=-0.3, outlined=True)

    # Ears, each with the shadow inside it
    w = person.width
    for side in SIDES:
        ear = ellipse(side * 0.745 * w, 0.08, 0.085, 0.2)
        skin = mix(palette.skin, palette.fold, 0.2)
        scene.fill("back", ear, skin, depth=-0.25, outlined=True)
        inner = ellipse(side * 0.76 * w, 0.07, 0.035, 0.12)
        scene.fill("back", inner, mix(palette.skin, palette.fold, 0.55), depth=-0.25)


def draw_head(scene: Scene, face: Face) -> None:
    """The skin and its relief; AU6 and AU12 round the cheeks, AU17 puckers the chin."""
    palette, drop = face.palette, jaw_drop(face.units)
    scene.fill("skin", head_outline(face.person, drop), palette.skin, outlined=True)

    # Light on the forehead
    scene.fill("broad", ellipse(0, -0.6, 0.38, 0.2), palette.gleam, alpha=0.45)
    for side in SIDES:
        _draw_cheek(scene, face, side)

    low = 0.9 * face.person.length + drop
    scene.fill("broad", ellipse(0, low - 0.02, 0.13, 0.07), palette.gleam, alpha=0.4)
    pucker = face.units.both(17)
    for x, y in _CHIN_DIMPLES:
        dimple = ellipse(x, low - 0.03 + y, 0.02, 0.016, count=8)
        scene.fill("fine", dimple, palette.shade, alpha=0.75 * pucker - 0.1)


def _draw_cheek(scene: Scene, face: Face, side: int) -> None:
    """Temple and hollow in shadow, cheek and blush that rise with a smile."""
    palette, w = face.palette, face.person.width
    smile = max(face.units(12, side), 0.8 * face.units(6, side))

    temple = [(side * 0.78 * w, -0.5), (side * 0.6 * w, -0.15), (side * 0.72 * w, 0.1)]
    scene.fill("broad", spline(temple, closed=True), palette.shade, alpha=0.3)
    hollow = [
        (side * 0.7 * w, 0.2),
        (side * 0.5, 0.38),
        (side * 0.34, 0.68),
        (side * 0.6 * w, 0.62),
    ]
    hollow_alpha = 0.22 + 0.2 * face.person.wrinkles - 0.1 * smile
    scene.fill("broad", spline(hollow, closed=True), palette.shade, alpha=hollow_alpha)

    # the higher the smile, the rounder and redder the cheek
    cheek = ellipse(side * 0.43, 0.26 - 0.06 * smile, 0.17 + 0.03 * smile, 0.13)
    scene.fill("broad", cheek, palette.gleam, alpha=0.3 + 0.45 * smile)
    blush = ellipse(side * 0.44, 0.32 - 0.07 * smile, 0.2, 0.14)
    scene.fill("broad", blush, palette.blush, alpha=0.35 + 0.35 * smile)
