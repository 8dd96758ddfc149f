"""What covers a part of the face in one picture: a hand, a mask, a bar, sunglasses."""

from __future__ import annotations

from typing import Literal

import numpy as np

from ke2nt.drawn.curves import mirror, moved, spline
from ke2nt.drawn.identity import Identity
from ke2nt.drawn.palette import Palette
from ke2nt.drawn.scene import Scene, mix
from ke2nt.drawn.wear import draw_glasses

__all__ = ["COVERS", "Cover", "draw_cover"]

Cover = Literal["hand", "mask", "bar", "sunglasses"]
COVERS: tuple[Cover, ...] = ("hand", "mask", "bar", "sunglasses")


def draw_cover(
    scene: Scene, who: Identity, palette: Palette, cover: Cover, rng: np.random.Generator
) -> None:
    """Something in front of the face: a hand, a surgical mask, a plain bar or sunglasses."""
    side = 1 if rng.random() < 0.5 else -1
    if cover == "sunglasses":
        draw_glasses(scene, who, palette, dark=True)
    elif cover == "mask":
        color = ((226, 232, 236), (150, 190, 214), (40, 42, 50))[int(rng.integers(3))]
        half = [
            (0.0, 0.16),
            (0.2, 0.2),
            (0.62, 0.3),
            (0.66, 0.45),
            (0.5, 0.8),
            (0.2, 1.06),
            (0.0, 1.1),
        ]
        outline = mirror(spline(np.array(half) * (who.width, 1), steps=4))
        scene.fill("top", outline, color, depth=0.1, outlined=True)
        for y in (0.45, 0.62, 0.79):
            pleat = spline([(-0.5, y - 0.02), (0, y + 0.02), (0.5, y - 0.02)], steps=4)
            scene.line("top", pleat, 0.025, mix(color, (0, 0, 0), 0.3), alpha=0.6, depth=0.1)
    elif cover == "bar":
        color = mix((20, 20, 20), who.cloth, rng.uniform(0, 1))
        x, tilt, wide = rng.uniform(-0.7, 0.7), rng.normal(0, 0.4), rng.uniform(0.08, 0.16)
        edge = np.array([(x - tilt, -2.0), (x + tilt, 2.0)])
        corners = np.concatenate([moved(edge, wide, 0), moved(edge[::-1], -wide, 0)])
        scene.fill("top", corners, color, depth=0.2)
    else:
        _draw_hand(scene, palette, side, rng.uniform(0.3, 0.75), rng.uniform(-0.4, 0.1))


def _draw_hand(scene: Scene, palette: Palette, side: int, x: float, y: float) -> None:
    palm = spline(
        [
            (x - 0.1, y + 0.95),
            (x + 0.45, y + 0.85),
            (x + 0.6, y + 1.4),
            (x + 0.5, y + 2.2),
            (x - 0.05, y + 2.2),
            (x - 0.2, y + 1.4),
        ],
        closed=True,
    )
    skin = mix(palette.skin, palette.fold, 0.1)
    scene.fill("top", palm * (side, 1), skin, depth=0.2, outlined=True)
    for i, (length, lean) in enumerate(((0.62, -0.14), (0.78, -0.06), (0.74, 0.02), (0.56, 0.12))):
        base = np.array((x - 0.05 + 0.15 * i, y + 1.08))
        tip = moved(base, lean, -length)
        finger = spline([moved(base, 0, 0.1), 0.5 * (base + tip), tip], steps=6) * (side, 1)
        scene.line("top", finger, 0.2, mix(skin, palette.fold, 0.6), depth=0.2)
        scene.line("top", finger, 0.165, skin, depth=0.2)
