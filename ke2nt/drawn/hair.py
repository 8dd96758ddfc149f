"""Hair, or a headscarf: what lies behind the head and what falls over the forehead."""

from __future__ import annotations

import numpy as np

from ke2nt.drawn.colors import BLACK, mix
from ke2nt.drawn.curves import SIDES, ellipse, mirror, moved, spline
from ke2nt.drawn.face import Face
from ke2nt.drawn.hair_shapes import (
    BACK,
    CROWN,
    DEFAULT_VOLUME,
    HAIRLINES,
    SCARF_BACK,
    SCARF_FOLD,
    SCARF_FRAME,
    SCARF_FRONT,
    VOLUMES,
)
from ke2nt.drawn.scene import Scene

__all__ = ["draw_hair_back", "draw_hair_front"]

_STRANDS = 9


def draw_hair_back(scene: Scene, face: Face) -> None:
    """Hair, or a headscarf, behind the head and neck."""
    attributes, palette, w = face.person.attributes, face.palette, face.person.width
    style = attributes["hair"]

    if style == "headscarf":
        outline = mirror(spline(np.array(SCARF_BACK) * (w, 1), steps=4))
        scene.fill("back", outline, mix(palette.cloth, BLACK, 0.25), depth=-0.2, outlined=True)
        return

    # A man's fringe is short at the back
    male_fringe = style == "fringe" and attributes["gender"] == "male"
    if style in BACK and not male_fringe:
        outline = mirror(spline(np.array(BACK[style]) * (w, 1), steps=4))
        scene.fill("back", outline, palette.hair_dark, depth=-0.3, outlined=True)
    if style == "bun":
        knot = ellipse(0, -1.2, 0.3, 0.22)
        scene.fill("back", knot, palette.hair_dark, depth=-0.2, outlined=True)


def draw_hair_front(scene: Scene, face: Face) -> None:
    """Hair over the skull down to the hairline, with strands."""
    palette, style = face.palette, face.person.attributes["hair"]
    if style == "bald":
        scene.fill("broad", ellipse(-0.12, -0.82, 0.24, 0.1), palette.gleam, alpha=0.6)
        return

    line = _hairline(face)
    if style == "headscarf":
        _draw_scarf(scene, face, line)
        return

    crown = _crown(face)
    outline = np.concatenate([spline(line, steps=5), spline(crown, steps=5)])
    if style == "curly":
        _draw_curls(scene, face, crown)

    # Short hair lets the skin show
    alpha = 0.62 if style == "buzz" else 1.0
    scene.fill("top", outline, palette.hair, alpha=alpha, depth=0.02, outlined=style != "curly")
    if style != "buzz":
        _draw_strands(scene, face, line, crown)


def _hairline(face: Face) -> np.ndarray:
    """(6, 2) from the left temple to the right one."""
    person = face.person
    line = np.array(HAIRLINES[person.attributes["hair"]]) * (person.width, 1)

    # Half of all people part their hair on the other side
    if person.detail_seed % 2:
        line = (line * (-1, 1))[::-1]

    # The hairline of men recedes with age
    if person.attributes["age"] in ("middle", "old") and person.attributes["gender"] == "male":
        line[1:-1, 1] -= 0.08
    return line


def _crown(face: Face) -> np.ndarray:
    """(9, 2) around the skull from the right sideburn to the left one."""
    w, style = face.person.width, face.person.attributes["hair"]
    volume = VOLUMES.get(style, DEFAULT_VOLUME)
    sideburn = (0.75 * w, 0.12 if style in ("long", "bob") else -0.05)

    right = np.array([sideburn, *((x * w, y) for x, y in CROWN)]) * (volume, volume)
    right[:1] /= volume  # volume does not move the sideburn
    return np.concatenate([right, (right * (-1, 1))[-2::-1]])


def _draw_curls(scene: Scene, face: Face, crown: np.ndarray) -> None:
    rng = np.random.default_rng(face.person.detail_seed)
    for x, y in np.concatenate([crown, 0.5 * (crown[1:] + crown[:-1])]):
        r = rng.uniform(0.13, 0.19)
        curl = ellipse(x * 0.97, y * 0.97, r, r, count=14)
        scene.fill("top", curl, face.palette.hair, depth=-0.05)


def _draw_strands(scene: Scene, face: Face, line: np.ndarray, crown: np.ndarray) -> None:
    """Light and dark strands from the crown to the hairline."""
    rng = np.random.default_rng(face.person.detail_seed)
    roots, ends = spline(crown[::-1], steps=3), spline(line, steps=5)

    for share in (np.arange(_STRANDS) + 0.5) / _STRANDS:
        root = roots[int(share * (len(roots) - 1))] * 0.97
        end = moved(ends[int(share * (len(ends) - 1))], 0, -0.02)
        bend = 0.5 * (root + end) + (rng.normal(0, 0.04), rng.normal(0, 0.03) - 0.03)
        color = face.palette.hair_light if rng.random() < 0.5 else face.palette.hair_dark
        strand = spline([root, bend, end], steps=4)
        scene.line("top", strand, 0.03, color, alpha=0.4, depth=0.02)


def _draw_scarf(scene: Scene, face: Face, line: np.ndarray) -> None:
    """The scarf around the face: a ring from its outer outline to the edge around the face."""
    cloth, w = face.palette.cloth, face.person.width
    right = spline(np.array(SCARF_FRAME) * (w, 1), steps=4)
    inner = np.concatenate([spline(line, steps=4), right, (right * (-1, 1))[::-1]])

    # Both loops start at the top middle, so that one polygon holds the ring between them
    outer = mirror(spline(np.array(SCARF_FRONT) * (w, 1), steps=4))
    start = int(np.argmin(np.abs(inner[:, 0]) + (inner[:, 1] > 0) * 9))
    inner = np.concatenate([inner[start:], inner[: start + 1]])
    scene.fill("top", np.concatenate([outer, outer[:1], inner[::-1]]), cloth, depth=-0.02)

    scene.line("top", inner, 0.03, mix(cloth, BLACK, 0.3), alpha=0.8)
    for side in SIDES:
        crease = spline([(side * x, y) for x, y in SCARF_FOLD], steps=4)
        scene.line("top", crease, 0.05, mix(cloth, BLACK, 0.35), alpha=0.6)
