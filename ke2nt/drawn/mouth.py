"""Mouth: lips, opening, teeth and tongue, as five curves from the left to the right corner."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ke2nt.drawn.curves import ellipse, spline
from ke2nt.drawn.expression import ActionUnits
from ke2nt.drawn.head import jaw_drop
from ke2nt.drawn.identity import Identity
from ke2nt.drawn.palette import Palette
from ke2nt.drawn.scene import Scene, mix

__all__ = ["Mouth", "draw_mouth", "shape_mouth"]

_T = np.linspace(-1, 1, 21)
_ABS = np.abs(_T)
_BODY = (1 - _T**2) ** 0.62
_BOW = 1 - 0.3 * np.exp(-((_T / 0.16) ** 2))
_LEFT = (1 - _T) / 2


@dataclass(frozen=True, slots=True)
class Mouth:
    """Curves of a mouth, each (21, 2) from the left to the right corner of the picture.

    Attributes:
        upper, lower: Outer edges of the lips.
        inner_upper, inner_lower: Inner edges; equal where the mouth is closed.
        gap: Greatest opening in face units.
    """

    upper: np.ndarray
    inner_upper: np.ndarray
    inner_lower: np.ndarray
    lower: np.ndarray
    gap: float

    def corner(self, s: int) -> tuple[float, float]:
        """The left (s = −1) or right (s = 1) corner."""
        x, y = self.inner_upper[0 if s < 0 else -1]
        return float(x), float(y)


def shape_mouth(who: Identity, units: ActionUnits) -> Mouth:
    """Where the lips are, from the identity's mouth and the action units."""
    sides = []
    for s in (-1, 1):
        smile, stretch, tuck = units(12, s), units(20, s), units(14, s)
        reach = 0.25 * who.mouth_width
        reach += 0.085 * smile + 0.085 * stretch + 0.05 * tuck - 0.02 * units(15, s)
        reach -= 0.07 * units(18, s) + 0.075 * units(27, s) + 0.03 * units(26, s)
        reach -= 0.02 * units(24, s)
        fall = who.mouth_curve - 0.125 * smile + 0.115 * units(15, s) + 0.035 * stretch
        fall -= 0.055 * tuck - 0.03 * units(10, s)
        sides.append((reach, fall))
    (reach_l, fall_l), (reach_r, fall_r) = sides
    y = 0.62 + who.mouth_y + 0.03 * (who.length - 1)
    x = np.where(_T < 0, _T * reach_l, _T * reach_r)
    droop = np.where(_T < 0, fall_l, fall_r) * _ABS**1.7
    center = _BODY * (-0.045 * units.both(17) - 0.02 * units.both(15) + 0.012 * units.both(12))
    sneer = _LEFT * (units(10, -1) + 0.6 * units(9, -1)) + (1 - _LEFT) * (
        units(10, 1) + 0.6 * units(9, 1)
    )
    square = (1 - _ABS**4) ** 0.8
    line = y + droop + center - 0.035 * sneer * square

    drop, part = jaw_drop(units), min(1.0, units.both(25) + 0.4 * units.both(16))
    tight = max(units.both(23), units.both(24))
    smile, stretch = units.both(12), units.both(20)
    round_share = min(1.0, units.both(26) + units.both(27) + units.both(18)) * (1 - smile)
    profile = (1 - _ABS ** (2 + 1.2 * (1 - round_share))) ** (0.55 + 0.25 * (1 - round_share))
    up = part * (0.018 + 0.02 * smile + 0.02 * stretch + 0.025 * sneer)
    down = part * (
        0.03 + 0.05 * smile + 0.035 * stretch + 0.05 * units.both(16)
    ) + 1.05 * drop * max(part, 0.25)
    inner_upper = line - up * profile
    inner_lower = line + down * profile
    thin = (1 - 0.55 * tight) * (1 - 0.25 * smile) * (1 - 0.2 * stretch)
    above = 0.056 * who.lip_upper * thin * (1 - 0.12 * sneer) * (1 + 0.15 * units.both(18))
    below = 0.078 * who.lip_lower * thin * (1 + 0.15 * units.both(17) - 0.2 * units.both(15))
    upper = inner_upper - above * _BODY * _BOW
    lower = inner_lower + below * _BODY
    return Mouth(
        upper=np.stack([x, upper], axis=1),
        inner_upper=np.stack([x, inner_upper], axis=1),
        inner_lower=np.stack([x, inner_lower], axis=1),
        lower=np.stack([x, lower], axis=1),
        gap=float((inner_lower - inner_upper).max()),
    )


def _loop(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return np.concatenate([a, b[::-1]])


def draw_mouth(
    scene: Scene, who: Identity, units: ActionUnits, palette: Palette, mouth: Mouth
) -> None:
    """Paint a mouth with the shadows around it."""
    depth = 0.05
    smile, sneer = units.both(12), units.both(10)
    low = mouth.lower[10]
    scene.fill(
        "fine", ellipse(0, low[1] + 0.05, 0.15, 0.028), palette.shade, alpha=0.5, depth=depth
    )
    philtrum = np.array([(0.0, mouth.upper[10, 1] - 0.12), (0.0, mouth.upper[10, 1] - 0.01)])
    scene.line("fine", philtrum, 0.05, palette.shade, alpha=0.22, depth=depth)
    opened = mouth.gap > 0.018
    if opened:
        hole = _loop(mouth.inner_upper, mouth.inner_lower)
        scene.fill("front", hole, palette.cavity, depth=depth)
        top, bottom = mouth.inner_upper[:, 1], mouth.inner_lower[:, 1]
        room = bottom - top
        x = mouth.inner_upper[:, 0]
        tongue = np.maximum(top, bottom - np.minimum(0.6 * room, 0.55 * room[10] * _BODY))
        if mouth.gap > 0.09:
            inner = slice(3, -3)
            body = np.stack([x, np.maximum(tongue, top + 0.45 * room)], axis=1)[inner]
            scene.fill("front", _loop(body, mouth.inner_lower[inner]), palette.tongue, depth=depth)
        show = max(smile, 0.85 * sneer, 0.8 * units.both(20), 0.5 * units.both(16), 0.35)
        edge = np.minimum(bottom, top + (0.02 + 0.062 * show) * _BODY)
        upper_teeth = np.stack([x, edge], axis=1)[1:-1]
        scene.fill("front", _loop(mouth.inner_upper[1:-1], upper_teeth), palette.teeth, depth=depth)
        bared = max(units.both(16), 0.7 * units.both(20)) * units.both(25)
        if bared > 0.2:
            rim = np.maximum(edge + 0.008, bottom - 0.055 * bared * _BODY)
            rim = np.minimum(rim, bottom)
            lower_teeth = np.stack([x, rim], axis=1)[2:-2]
            loop = _loop(lower_teeth, mouth.inner_lower[2:-2])
            scene.fill("front", loop, mix(palette.teeth, palette.cavity, 0.12), depth=depth)
    shade = mix(palette.lip, palette.lip_line, 0.22)
    upper_lip = _loop(mouth.upper, mouth.inner_upper)
    lower_lip = _loop(mouth.inner_lower, mouth.lower)
    scene.fill("front", upper_lip, shade, depth=depth, outlined=True)
    scene.fill("front", lower_lip, palette.lip, depth=depth, outlined=True)
    gleam = 0.55 * mouth.inner_lower[6:-6] + 0.45 * mouth.lower[6:-6]
    scene.line(
        "front", gleam, 0.026, mix(palette.lip, (255, 240, 235), 0.55), alpha=0.45, depth=depth
    )
    width = 0.02 if opened else 0.03
    scene.line("front", mouth.inner_upper, width, palette.lip_line, alpha=0.9, depth=depth)
    if opened:
        scene.line("front", mouth.inner_lower, 0.014, palette.lip_line, alpha=0.5, depth=depth)
    for s in (-1, 1):
        _draw_corner(scene, who, units, palette, mouth, s)


def _draw_corner(
    scene: Scene, who: Identity, units: ActionUnits, palette: Palette, mouth: Mouth, s: int
) -> None:
    """Dimple (AU14), smile line (AU12), and the line below a hanging corner (AU15)."""
    x, y = mouth.corner(s)
    smile, tuck, hang = units(12, s), units(14, s), units(15, s)
    scene.fill("front", ellipse(x, y, 0.022, 0.018, count=10), palette.lip_line, alpha=0.6)
    press = max(tuck, 0.55 * smile)
    dimple = spline(
        [(x + s * 0.035, y - 0.07), (x + s * 0.065, y), (x + s * 0.035, y + 0.055)], steps=4
    )
    scene.line("fine", dimple, 0.05, palette.shade, alpha=0.9 * press)
    scene.line("front", dimple, 0.022, palette.fold, alpha=0.62 * max(tuck, 0.3 * smile))
    scene.fill("fine", ellipse(x + s * 0.11, y, 0.035, 0.06), palette.gleam, alpha=0.5 * tuck)
    droop = spline([(x, y + 0.01), (x + s * 0.022, y + 0.06), (x + s * 0.012, y + 0.13)], steps=4)
    line_alpha = 0.6 * hang + 0.3 * who.wrinkles
    scene.line("front", droop, 0.02, palette.fold, alpha=0.75 * line_alpha)
