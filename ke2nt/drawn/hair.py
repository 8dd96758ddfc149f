"""Hair styles: what lies behind the head and what falls over the forehead."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from ke2nt.drawn.curves import ellipse, mirror, moved, spline
from ke2nt.drawn.identity import Identity
from ke2nt.drawn.palette import Palette
from ke2nt.drawn.scene import Scene, mix

__all__ = ["draw_hair_back", "draw_hair_front"]

# Style → hairline from the left temple to the right one, as the picture shows it.
_HAIRLINES: Mapping[str, tuple[tuple[float, float], ...]] = {
    "short": (
        (-0.62, -0.42),
        (-0.52, -0.62),
        (-0.2, -0.7),
        (0.2, -0.7),
        (0.52, -0.62),
        (0.62, -0.42),
    ),
    "side": (
        (-0.64, -0.32),
        (-0.5, -0.48),
        (-0.1, -0.62),
        (0.3, -0.76),
        (0.52, -0.66),
        (0.62, -0.42),
    ),
    "long": (
        (-0.66, -0.2),
        (-0.52, -0.5),
        (-0.16, -0.74),
        (0.0, -0.82),
        (0.5, -0.52),
        (0.66, -0.2),
    ),
    "bob": ((-0.67, -0.1), (-0.5, -0.46), (-0.2, -0.62), (0.2, -0.68), (0.52, -0.5), (0.67, -0.1)),
    "bun": ((-0.62, -0.36), (-0.5, -0.6), (-0.2, -0.73), (0.2, -0.73), (0.5, -0.6), (0.62, -0.36)),
    "curly": (
        (-0.64, -0.35),
        (-0.5, -0.56),
        (-0.2, -0.62),
        (0.2, -0.63),
        (0.5, -0.56),
        (0.64, -0.35),
    ),
    "fringe": (
        (-0.67, -0.2),
        (-0.56, -0.44),
        (-0.2, -0.47),
        (0.2, -0.48),
        (0.56, -0.44),
        (0.67, -0.2),
    ),
    "buzz": ((-0.6, -0.5), (-0.5, -0.66), (-0.2, -0.74), (0.2, -0.74), (0.5, -0.66), (0.6, -0.5)),
    "headscarf": (
        (-0.6, -0.2),
        (-0.5, -0.5),
        (-0.2, -0.68),
        (0.2, -0.68),
        (0.5, -0.5),
        (0.6, -0.2),
    ),
}
_VOLUME: Mapping[str, float] = {
    "buzz": 1.02,
    "curly": 1.16,
    "long": 1.1,
    "bob": 1.12,
    "fringe": 1.09,
}
_BACK: Mapping[str, tuple[tuple[float, float], ...]] = {
    "long": (
        (0.0, -1.2),
        (0.6, -1.02),
        (0.86, -0.4),
        (0.9, 0.3),
        (0.98, 1.0),
        (0.92, 1.75),
        (0.0, 1.8),
    ),
    "bob": (
        (0.0, -1.18),
        (0.6, -1.0),
        (0.88, -0.4),
        (0.93, 0.2),
        (0.86, 0.66),
        (0.5, 0.8),
        (0.0, 0.8),
    ),
    "fringe": (
        (0.0, -1.16),
        (0.58, -1.0),
        (0.84, -0.4),
        (0.86, 0.2),
        (0.8, 0.5),
        (0.4, 0.6),
        (0.0, 0.6),
    ),
}


def draw_hair_back(scene: Scene, who: Identity, palette: Palette) -> None:
    """Hair, or a headscarf, behind the head and neck."""
    style, w = who.attributes["hair"], who.width
    if style == "headscarf":
        scarf = [
            (0.0, -1.16),
            (0.62, -1.0),
            (0.86, -0.4),
            (0.84, 0.4),
            (0.8, 1.0),
            (1.3, 1.7),
            (0.0, 2.2),
        ]
        outline = mirror(spline(np.array(scarf) * (w, 1), steps=4))
        scene.fill("back", outline, mix(palette.cloth, (0, 0, 0), 0.25), depth=-0.2, outlined=True)
        return
    male = who.attributes["gender"] == "male"
    if style in _BACK and not (style == "fringe" and male):
        outline = mirror(spline(np.array(_BACK[style]) * (w, 1), steps=4))
        scene.fill("back", outline, palette.hair_dark, depth=-0.3, outlined=True)
    if style == "bun":
        knot = ellipse(0, -1.2, 0.3, 0.22)
        scene.fill("back", knot, palette.hair_dark, depth=-0.2, outlined=True)


def draw_hair_front(scene: Scene, who: Identity, palette: Palette) -> None:
    """Hair over the skull down to the hairline, with strands."""
    style, w = who.attributes["hair"], who.width
    if style == "bald":
        scene.fill("broad", ellipse(-0.12, -0.82, 0.24, 0.1), palette.gleam, alpha=0.6)
        return
    line = np.array(_HAIRLINES[style]) * (w, 1)
    if who.detail_seed % 2:
        line = (line * (-1, 1))[::-1]
    if who.attributes["age"] in ("middle", "old") and who.attributes["gender"] == "male":
        line[1:-1, 1] -= 0.08
    if style == "headscarf":
        _draw_scarf(scene, palette, line, w)
        return
    volume = _VOLUME.get(style, 1.07)
    burn = 0.12 if style in ("long", "bob") else -0.05
    outer = np.array(
        [(0.75 * w, burn), (0.79 * w, -0.35), (0.67 * w, -0.8), (0.38 * w, -1.1), (0.0, -1.19)]
    ) * (volume, volume)
    outer[:1] /= volume
    crown = np.concatenate([outer, (outer * (-1, 1))[-2::-1]])
    outline = np.concatenate([spline(line, steps=5), spline(crown, steps=5)])
    if style == "curly":
        rng = np.random.default_rng(who.detail_seed)
        for x, y in np.concatenate([crown, 0.5 * (crown[1:] + crown[:-1])]):
            r = rng.uniform(0.13, 0.19)
            scene.fill(
                "top", ellipse(x * 0.97, y * 0.97, r, r, count=14), palette.hair, depth=-0.05
            )
    alpha = 0.62 if style == "buzz" else 1.0
    scene.fill("top", outline, palette.hair, alpha=alpha, depth=0.02, outlined=style != "curly")
    if style != "buzz":
        _draw_strands(scene, who, palette, line, crown)


def _draw_strands(
    scene: Scene, who: Identity, palette: Palette, line: np.ndarray, crown: np.ndarray
) -> None:
    rng = np.random.default_rng(who.detail_seed)
    root, end = spline(crown[::-1], steps=3), spline(line, steps=5)
    for share in (np.arange(9) + 0.5) / 9:
        a = root[int(share * (len(root) - 1))] * 0.97
        b = moved(end[int(share * (len(end) - 1))], 0, -0.02)
        bend = 0.5 * (a + b) + (rng.normal(0, 0.04), rng.normal(0, 0.03) - 0.03)
        color = palette.hair_light if rng.random() < 0.5 else palette.hair_dark
        scene.line("top", spline([a, bend, b], steps=4), 0.03, color, alpha=0.4, depth=0.02)


def _draw_scarf(scene: Scene, palette: Palette, line: np.ndarray, w: float) -> None:
    frame = [(0.6, -0.2), (0.66, 0.2), (0.6, 0.6), (0.36, 0.98), (0.0, 1.14)]
    right = spline(np.array(frame) * (w, 1), steps=4)
    inner = np.concatenate([spline(line, steps=4), right, (right * (-1, 1))[::-1]])
    outer = [
        (0.0, -1.17),
        (0.6, -1.0),
        (0.86, -0.4),
        (0.85, 0.3),
        (0.8, 0.9),
        (1.2, 1.7),
        (0.0, 2.2),
    ]
    ring = mirror(spline(np.array(outer) * (w, 1), steps=4))
    start = int(np.argmin(np.abs(inner[:, 0]) + (inner[:, 1] > 0) * 9))
    inner = np.concatenate([inner[start:], inner[: start + 1]])
    scene.fill("top", np.concatenate([ring, ring[:1], inner[::-1]]), palette.cloth, depth=-0.02)
    scene.line("top", inner, 0.03, mix(palette.cloth, (0, 0, 0), 0.3), alpha=0.8)
    for s in (-1, 1):
        crease = spline([(s * 0.3, 1.12), (s * 0.2, 1.4), (s * 0.3, 1.8)], steps=4)
        scene.line("top", crease, 0.05, mix(palette.cloth, (0, 0, 0), 0.35), alpha=0.6)
