"""What belongs to a face besides its skin: beard, freckles and glasses."""

from __future__ import annotations

import numpy as np

from ke2nt.drawn.curves import ellipse, spline
from ke2nt.drawn.expression import ActionUnits
from ke2nt.drawn.head import head_outline, jaw_drop
from ke2nt.drawn.identity import Identity
from ke2nt.drawn.mouth import Mouth
from ke2nt.drawn.palette import Palette
from ke2nt.drawn.scene import Scene, mix

__all__ = ["draw_beard", "draw_freckles", "draw_glasses"]


def draw_beard(
    scene: Scene, who: Identity, units: ActionUnits, palette: Palette, mouth: Mouth
) -> None:
    """Stubble, moustache or full beard; it follows jaw and lips."""
    kind = who.attributes["beard"]
    if kind == "none":
        return
    drop, w = jaw_drop(units), who.width
    low = 1.03 * who.length + drop
    (lx, ly), (rx, ry) = mouth.corner(-1), mouth.corner(1)
    top = mouth.upper[10, 1]
    nose = top - 0.1
    if kind != "moustache":
        full = kind == "full"
        color = palette.hair if full else mix(palette.skin, palette.hair_dark, 0.6)
        rim = head_outline(who, drop)
        rim = rim[rim[:, 1] > 0.2]
        rim = rim[np.argsort(np.arctan2(rim[:, 0], rim[:, 1]))] * (1.02 if full else 1.0)
        inner = spline(
            [
                (0.6 * w, 0.3),
                (rx + 0.14, ry - 0.06),
                (0.16, nose),
                (-0.16, nose),
                (lx - 0.14, ly - 0.06),
                (-0.6 * w, 0.3),
            ],
            steps=4,
        )
        outline = np.concatenate([rim, inner])
        scene.fill("front", outline, color, alpha=0.86 if full else 0.24, outlined=full)
        if full:
            for share in np.linspace(-0.8, 0.8, 7):
                hair = spline(
                    [
                        (share * 0.4, low - 0.32),
                        (share * 0.46, low - 0.18),
                        (share * 0.42, low - 0.03),
                    ],
                    steps=3,
                )
                scene.line("front", hair, 0.04, palette.hair_light, alpha=0.4)
    if kind != "stubble":
        left, right = (lx - 0.02, ly - 0.005), (rx + 0.02, ry - 0.005)
        edge = [left, (-0.15, top - 0.06), (0.0, top - 0.085), (0.15, top - 0.06), right]
        rim = spline([right, (0.12, top - 0.012), (0.0, top - 0.004), (-0.12, top - 0.012), left])
        outline = np.concatenate([spline(edge), rim])
        scene.fill("front", outline, palette.hair, alpha=0.9, depth=0.05)


def draw_freckles(scene: Scene, who: Identity, palette: Palette) -> None:
    """Freckles over nose and cheeks."""
    if who.attributes["freckles"] != "yes":
        return
    rng = np.random.default_rng(who.detail_seed)
    spots = rng.normal(0, 1, (18, 2)).clip(-2, 2) * (0.26, 0.07) + (0, 0.2)
    for x, y in spots:
        scene.fill("front", ellipse(x, y, 0.017, 0.015, count=7), palette.fold, alpha=0.32)


def draw_glasses(scene: Scene, who: Identity, palette: Palette, *, dark: bool = False) -> None:
    """Glasses with round or square lenses; dark lenses hide the eyes."""
    kind = who.attributes["glasses"]
    if kind == "none" and not dark:
        return
    y = -0.03 + who.eye_y
    x = 0.335 * who.eye_spacing
    for s in (-1, 1):
        if kind == "square" or dark:
            half, tall = 0.265, 0.18
            lens = spline(
                [
                    (s * x + i * half, y + j * tall)
                    for i, j in (
                        (-0.85, -0.9),
                        (0.85, -0.9),
                        (1, 0),
                        (0.8, 0.95),
                        (-0.8, 0.95),
                        (-1, 0),
                    )
                ],
                closed=True,
                steps=4,
            )
        else:
            lens = ellipse(s * x, y, 0.245, 0.215, count=26)
        if dark:
            scene.fill("top", lens, (26, 24, 30), alpha=0.94, depth=0.12)
        else:
            glint = spline(
                [(s * x - 0.12, y - 0.1), (s * x - 0.06, y - 0.13), (s * x, y - 0.14)], steps=3
            )
            scene.line("top", glint, 0.03, (255, 255, 255), alpha=0.35, depth=0.12)
        rim = np.concatenate([lens, lens[:1]])
        scene.fill("top", _ring(rim, 0.022), palette.frame, depth=0.12)
        arm = np.array(
            [
                (s * (x + 0.25), y - 0.05),
                (s * 0.68 * who.width, y - 0.04),
                (s * 0.76 * who.width, y - 0.03),
            ]
        )
        scene.line("top", arm, 0.035, palette.frame, depth=0.02)
    bridge = spline([(-x + 0.24, y - 0.03), (0, y - 0.07), (x - 0.24, y - 0.03)], steps=4)
    scene.line("top", bridge, 0.032, palette.frame, depth=0.14)


def _ring(loop: np.ndarray, half: float) -> np.ndarray:
    center = loop[:-1].mean(axis=0)
    out = loop - center
    out = out / np.sqrt((out * out).sum(axis=1, keepdims=True)) * half
    return np.concatenate([loop + out, (loop - out)[::-1]])
