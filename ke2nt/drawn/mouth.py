"""Mouth: cavity, teeth, tongue, lips and the marks at the corners."""

from __future__ import annotations

import numpy as np

from ke2nt.drawn.colors import mix
from ke2nt.drawn.curves import SIDES, ellipse, spline
from ke2nt.drawn.expression import ActionUnits
from ke2nt.drawn.face import Face
from ke2nt.drawn.mouth_shape import LIP_PROFILE
from ke2nt.drawn.scene import Scene

__all__ = ["draw_mouth"]

_DEPTH = 0.05
_OPEN_GAP = 0.018
_TONGUE_GAP = 0.09
_GLEAM = (255, 240, 235)


def draw_mouth(scene: Scene, face: Face) -> None:
    """Draw a mouth with the shadows around it."""
    palette, mouth = face.palette, face.mouth

    # Shadow below the lower lip, and the groove above the upper one
    below = ellipse(0, mouth.lower[10][1] + 0.05, 0.15, 0.028)
    scene.fill("fine", below, palette.shade, alpha=0.5, depth=_DEPTH)
    top = mouth.upper[10, 1]
    philtrum = np.array([(0.0, top - 0.12), (0.0, top - 0.01)])
    scene.line("fine", philtrum, 0.05, palette.shade, alpha=0.22, depth=_DEPTH)

    if mouth.gap > _OPEN_GAP:
        _draw_inside(scene, face)
    _draw_lips(scene, face)
    for side in SIDES:
        _draw_corner(scene, face, side)


def _draw_inside(scene: Scene, face: Face) -> None:
    """Cavity, tongue and teeth of an open mouth."""
    units, palette, mouth = face.units, face.palette, face.mouth
    hole = _loop(mouth.inner_upper, mouth.inner_lower)
    scene.fill("front", hole, palette.cavity, depth=_DEPTH)

    # (21,) heights of the two edges, and the space between them
    x = mouth.inner_upper[:, 0]
    top, bottom = mouth.inner_upper[:, 1], mouth.inner_lower[:, 1]
    room = bottom - top

    if mouth.gap > _TONGUE_GAP:
        tongue = np.maximum(top, bottom - np.minimum(0.6 * room, 0.55 * room[10] * LIP_PROFILE))
        inner = slice(3, -3)
        body = np.stack([x, np.maximum(tongue, top + 0.45 * room)], axis=1)[inner]
        scene.fill("front", _loop(body, mouth.inner_lower[inner]), palette.tongue, depth=_DEPTH)

    # A smile or a sneer shows the upper teeth, never less than a rim of them
    show = max(*_upper_teeth_strengths(units), 0.35)
    edge = np.minimum(bottom, top + (0.02 + 0.062 * show) * LIP_PROFILE)
    upper_teeth = _loop(mouth.inner_upper[1:-1], np.stack([x, edge], axis=1)[1:-1])
    scene.fill("front", upper_teeth, palette.teeth, depth=_DEPTH)

    # A lowered lip bares the lower teeth
    bared = max(units.both(16), 0.7 * units.both(20)) * units.both(25)
    if bared > 0.2:
        rim = np.maximum(edge + 0.008, bottom - 0.055 * bared * LIP_PROFILE)
        rim = np.minimum(rim, bottom)
        lower_teeth = _loop(np.stack([x, rim], axis=1)[2:-2], mouth.inner_lower[2:-2])
        shaded = mix(palette.teeth, palette.cavity, 0.12)
        scene.fill("front", lower_teeth, shaded, depth=_DEPTH)


def _upper_teeth_strengths(units: ActionUnits) -> tuple[float, ...]:
    """How much each action unit shows the upper teeth (AU12, AU10, AU20, AU16)."""
    return units.both(12), 0.85 * units.both(10), 0.8 * units.both(20), 0.5 * units.both(16)


def _draw_lips(scene: Scene, face: Face) -> None:
    palette, mouth = face.palette, face.mouth
    opened = mouth.gap > _OPEN_GAP

    # The upper lip lies in shadow
    shade = mix(palette.lip, palette.lip_line, 0.22)
    upper_lip = _loop(mouth.upper, mouth.inner_upper)
    lower_lip = _loop(mouth.inner_lower, mouth.lower)
    scene.fill("front", upper_lip, shade, depth=_DEPTH, outlined=True)
    scene.fill("front", lower_lip, palette.lip, depth=_DEPTH, outlined=True)

    gleam = 0.55 * mouth.inner_lower[6:-6] + 0.45 * mouth.lower[6:-6]
    scene.line("front", gleam, 0.026, mix(palette.lip, _GLEAM, 0.55), alpha=0.45, depth=_DEPTH)

    # Line between the lips, or along both edges of the opening
    width = 0.02 if opened else 0.03
    scene.line("front", mouth.inner_upper, width, palette.lip_line, alpha=0.9, depth=_DEPTH)
    if opened:
        scene.line("front", mouth.inner_lower, 0.014, palette.lip_line, alpha=0.5, depth=_DEPTH)


def _draw_corner(scene: Scene, face: Face, side: int) -> None:
    """Dimple (AU14), smile line (AU12), and the line below a hanging corner (AU15)."""
    units, palette = face.units, face.palette
    x, y = face.mouth.corner(side)
    smile, tuck, hang = units(12, side), units(14, side), units(15, side)

    scene.fill("front", ellipse(x, y, 0.022, 0.018, count=10), palette.lip_line, alpha=0.6)

    # A curve beside the corner: soft for the dent, sharp for its line
    press = max(tuck, 0.55 * smile)
    beside = [(x + side * 0.035, y - 0.07), (x + side * 0.065, y), (x + side * 0.035, y + 0.055)]
    dimple = spline(beside, steps=4)
    scene.line("fine", dimple, 0.05, palette.shade, alpha=0.9 * press)
    scene.line("front", dimple, 0.022, palette.fold, alpha=0.62 * max(tuck, 0.3 * smile))
    scene.fill("fine", ellipse(x + side * 0.11, y, 0.035, 0.06), palette.gleam, alpha=0.5 * tuck)

    below = [(x, y + 0.01), (x + side * 0.022, y + 0.06), (x + side * 0.012, y + 0.13)]
    line_alpha = 0.6 * hang + 0.3 * face.person.wrinkles
    scene.line("front", spline(below, steps=4), 0.02, palette.fold, alpha=0.75 * line_alpha)


def _loop(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Closed outline between two curves of the same direction."""
    return np.concatenate([a, b[::-1]])
