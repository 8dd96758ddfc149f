"""One face in one picture: identity and action units → pixels and region masks."""

from __future__ import annotations

import numpy as np

from ke2nt.drawn.cover import draw_cover
from ke2nt.drawn.curves import mirror, moved, spline, stroke
from ke2nt.drawn.expression import ActionUnits
from ke2nt.drawn.eyes import brow_line, draw_brows, draw_eyes, eye_lids
from ke2nt.drawn.hair import draw_hair_back, draw_hair_front
from ke2nt.drawn.head import draw_body, draw_head
from ke2nt.drawn.identity import Identity
from ke2nt.drawn.mouth import Mouth, draw_mouth, shape_mouth
from ke2nt.drawn.nose import draw_nose, nose_base
from ke2nt.drawn.paint import paint, paint_masks
from ke2nt.drawn.scene import Scene
from ke2nt.drawn.style import STYLES
from ke2nt.drawn.view import View
from ke2nt.drawn.wear import draw_beard, draw_freckles, draw_glasses

__all__ = ["REGIONS", "render_face"]

REGIONS = ("brows", "eyes", "nose", "mouth")


def render_face(
    who: Identity,
    units: ActionUnits,
    *,
    seed: int,
    size: int,
    style: str = "photo",
    occlusion: float = 0.0,
    masks: bool = False,
) -> tuple[np.ndarray, np.ndarray | None]:
    """Draw a face.

    Args:
        who: The person.
        units: What the face does.
        seed: Names pose, light, backdrop and noise.
        size: Side of the picture in pixels.
        style: A name in `STYLES`.
        occlusion: Chance that something covers a part of the face.
        masks: Also give region masks.

    Returns:
        uint8 (size, size, 3) RGB, and bool (4, size, size) in the order of `REGIONS` or None. Masks
        say where a region is, covered or not.
    """
    rng = np.random.default_rng(seed)
    view = View.sample(rng, occlusion=occlusion)
    look = STYLES[style]
    palette = look.palette(who)
    mouth = shape_mouth(who, units)
    scene = Scene()
    draw_hair_back(scene, who, palette)
    draw_body(scene, who, units, palette)
    draw_head(scene, who, units, palette)
    draw_freckles(scene, who, palette)
    draw_nose(scene, who, units, palette, mouth, view.light[0])
    draw_eyes(scene, who, units, palette, view.gaze)
    draw_brows(scene, who, units, palette)
    draw_beard(scene, who, units, palette, mouth)
    draw_mouth(scene, who, units, palette, mouth)
    draw_hair_front(scene, who, palette)
    draw_glasses(scene, who, palette)
    if view.cover is not None:
        draw_cover(scene, who, palette, view.cover, rng)
    image = np.asarray(paint(scene, view, look, size))
    regions = paint_masks(_regions(who, units, mouth), view, size) if masks else None
    return image, regions


def _regions(who: Identity, units: ActionUnits, mouth: Mouth) -> list[list[np.ndarray]]:
    brows, eyes = [], []
    for s in (-1, 1):
        brows.append(stroke(brow_line(who, units, s), 0.17))
        upper, lower = eye_lids(who, units, s)
        eyes.append(np.concatenate([moved(upper, 0, -0.05), moved(lower, 0, 0.05)[::-1]]))
    y, w = nose_base(who, units), 0.17 * who.nose_width
    half = [(0.06, -0.2), (0.075, 0.0), (w, y - 0.1), (w, y + 0.03), (0.06, y + 0.08)]
    nose = mirror(spline(half, steps=4))
    (lx, ly), (rx, ry) = mouth.corner(-1), mouth.corner(1)
    lips = np.concatenate(
        [
            [(lx - 0.05, ly)],
            moved(mouth.upper, 0, -0.04),
            [(rx + 0.05, ry)],
            moved(mouth.lower, 0, 0.05)[::-1],
        ]
    )
    return [brows, eyes, [nose], [lips]]
