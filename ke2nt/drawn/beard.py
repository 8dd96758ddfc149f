"""Beards and freckles."""

from __future__ import annotations

import numpy as np

from ke2nt.drawn.colors import mix
from ke2nt.drawn.curves import ellipse, spline
from ke2nt.drawn.face import Face
from ke2nt.drawn.head import head_outline
from ke2nt.drawn.mouth_shape import jaw_drop
from ke2nt.drawn.scene import Scene

__all__ = ["draw_beard", "draw_freckles"]


def draw_beard(scene: Scene, face: Face) -> None:
    """Stubble, moustache or full beard; it follows jaw and lips."""
    beard = face.person.attributes["beard"]
    if beard in ("stubble", "full"):
        _draw_jaw_hair(scene, face, full=beard == "full")
    if beard in ("moustache", "full"):
        _draw_moustache(scene, face)


def _draw_jaw_hair(scene: Scene, face: Face, *, full: bool) -> None:
    palette, w = face.palette, face.person.width
    drop = jaw_drop(face.units)

    # Outer edge: the part of the head's outline below the cheeks, by angle around the middle
    rim = head_outline(face.person, drop)
    rim = rim[rim[:, 1] > 0.2]
    rim = rim[np.argsort(np.arctan2(rim[:, 0], rim[:, 1]))] * (1.02 if full else 1.0)

    # Inner edge: over the cheeks and around the mouth
    (left_x, left_y), (right_x, right_y) = face.mouth.corner(-1), face.mouth.corner(1)
    nose = face.mouth.upper[10, 1] - 0.1
    inner = [
        (0.6 * w, 0.3),
        (right_x + 0.14, right_y - 0.06),
        (0.16, nose),
        (-0.16, nose),
        (left_x - 0.14, left_y - 0.06),
        (-0.6 * w, 0.3),
    ]
    outline = np.concatenate([rim, spline(inner, steps=4)])
    color = palette.hair if full else mix(palette.skin, palette.hair_dark, 0.6)
    scene.fill("front", outline, color, alpha=0.86 if full else 0.24, outlined=full)

    if full:
        low = 1.03 * face.person.length + drop
        for share in np.linspace(-0.8, 0.8, 7):
            top, middle = (share * 0.4, low - 0.32), (share * 0.46, low - 0.18)
            hair = spline([top, middle, (share * 0.42, low - 0.03)], steps=3)
            scene.line("front", hair, 0.04, palette.hair_light, alpha=0.4)


def _draw_moustache(scene: Scene, face: Face) -> None:
    (left_x, left_y), (right_x, right_y) = face.mouth.corner(-1), face.mouth.corner(1)
    left, right = (left_x - 0.02, left_y - 0.005), (right_x + 0.02, right_y - 0.005)
    top = face.mouth.upper[10, 1]

    edge = [left, (-0.15, top - 0.06), (0.0, top - 0.085), (0.15, top - 0.06), right]
    lip = [right, (0.12, top - 0.012), (0.0, top - 0.004), (-0.12, top - 0.012), left]
    outline = np.concatenate([spline(edge), spline(lip)])
    scene.fill("front", outline, face.palette.hair, alpha=0.9, depth=0.05)


def draw_freckles(scene: Scene, face: Face) -> None:
    """Freckles over nose and cheeks."""
    if face.person.attributes["freckles"] != "yes":
        return
    rng = np.random.default_rng(face.person.detail_seed)
    spots = rng.normal(0, 1, (18, 2)).clip(-2, 2) * (0.26, 0.07) + (0, 0.2)
    for x, y in spots:
        scene.fill("front", ellipse(x, y, 0.017, 0.015, count=7), face.palette.fold, alpha=0.32)
