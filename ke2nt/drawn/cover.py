"""What covers a part of the face in one image: a hand, a mask, a bar, sunglasses."""

from __future__ import annotations

from typing import Literal

import numpy as np

from ke2nt.drawn.colors import BLACK, Color, mix
from ke2nt.drawn.curves import mirror, moved, spline
from ke2nt.drawn.face import Face
from ke2nt.drawn.glasses import draw_glasses
from ke2nt.drawn.scene import Scene

__all__ = ["COVERS", "Cover", "draw_cover"]

Cover = Literal["hand", "mask", "bar", "sunglasses"]
COVERS: tuple[Cover, ...] = ("hand", "mask", "bar", "sunglasses")

_DEPTH = 0.2
_MASK_COLORS: tuple[Color, ...] = ((226, 232, 236), (150, 190, 214), (40, 42, 50))
_BAR_COLOR: Color = (20, 20, 20)

# Right half of a surgical mask from the nose to the chin, and heights of its pleats
_MASK = (
    *((0.0, 0.16), (0.2, 0.2), (0.62, 0.3), (0.66, 0.45)),
    *((0.5, 0.8), (0.2, 1.06), (0.0, 1.1)),
)
_PLEATS = (0.45, 0.62, 0.79)

# A hand relative to its middle finger's base: the palm, and length and lean of four fingers
_PALM = ((-0.1, 0.95), (0.45, 0.85), (0.6, 1.4), (0.5, 2.2), (-0.05, 2.2), (-0.2, 1.4))
_FINGERS = ((0.62, -0.14), (0.78, -0.06), (0.74, 0.02), (0.56, 0.12))


def draw_cover(scene: Scene, face: Face, cover: Cover, rng: np.random.Generator) -> None:
    """Something in front of the face: a hand, a surgical mask, a plain bar or sunglasses."""
    side = 1 if rng.random() < 0.5 else -1
    if cover == "sunglasses":
        draw_glasses(scene, face, dark=True)
    elif cover == "mask":
        _draw_mask(scene, face, _MASK_COLORS[int(rng.integers(3))])
    elif cover == "bar":
        _draw_bar(scene, face, rng)
    else:
        _draw_hand(scene, face, side, rng.uniform(0.3, 0.75), rng.uniform(-0.4, 0.1))


def _draw_mask(scene: Scene, face: Face, color: Color) -> None:
    outline = mirror(spline(np.array(_MASK) * (face.person.width, 1), steps=4))
    scene.fill("top", outline, color, depth=0.1, outlined=True)
    for y in _PLEATS:
        pleat = spline([(-0.5, y - 0.02), (0, y + 0.02), (0.5, y - 0.02)], steps=4)
        scene.line("top", pleat, 0.025, mix(color, BLACK, 0.3), alpha=0.6, depth=0.1)


def _draw_bar(scene: Scene, face: Face, rng: np.random.Generator) -> None:
    color = mix(_BAR_COLOR, face.person.cloth, rng.uniform(0, 1))
    x, tilt, half = rng.uniform(-0.7, 0.7), rng.normal(0, 0.4), rng.uniform(0.08, 0.16)
    edge = np.array([(x - tilt, -2.0), (x + tilt, 2.0)])
    corners = np.concatenate([moved(edge, half, 0), moved(edge[::-1], -half, 0)])
    scene.fill("top", corners, color, depth=_DEPTH)


def _draw_hand(scene: Scene, face: Face, side: int, x: float, y: float) -> None:
    palette = face.palette
    skin = mix(palette.skin, palette.fold, 0.1)
    palm = spline([(x + dx, y + dy) for dx, dy in _PALM], closed=True)
    scene.fill("top", palm * (side, 1), skin, depth=_DEPTH, outlined=True)

    for i, (length, lean) in enumerate(_FINGERS):
        base = np.array((x - 0.05 + 0.15 * i, y + 1.08))
        tip = moved(base, lean, -length)
        finger = spline([moved(base, 0, 0.1), 0.5 * (base + tip), tip], steps=6) * (side, 1)

        # a dark stroke below a narrower one gives the finger an edge
        scene.line("top", finger, 0.2, mix(skin, palette.fold, 0.6), depth=_DEPTH)
        scene.line("top", finger, 0.165, skin, depth=_DEPTH)
