"""One face in one image: identity and action units → pixels and region masks."""

from __future__ import annotations

import numpy as np

from ke2nt.drawn.beard import draw_beard, draw_freckles
from ke2nt.drawn.brows import draw_brows
from ke2nt.drawn.cover import draw_cover
from ke2nt.drawn.expression import ActionUnits
from ke2nt.drawn.eyes import draw_eyes
from ke2nt.drawn.face import Face
from ke2nt.drawn.glasses import draw_glasses
from ke2nt.drawn.hair import draw_hair_back, draw_hair_front
from ke2nt.drawn.head import draw_body, draw_head
from ke2nt.drawn.identity import Identity
from ke2nt.drawn.mouth import draw_mouth
from ke2nt.drawn.nose import draw_nose
from ke2nt.drawn.paint import paint, paint_masks
from ke2nt.drawn.regions import REGIONS, region_outlines
from ke2nt.drawn.scene import Scene
from ke2nt.drawn.style import STYLES
from ke2nt.drawn.view import View

__all__ = ["REGIONS", "render_face"]


def render_face(
    person: Identity,
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
        person: Who it is.
        units: What the face does.
        seed: Seed of pose, light, backdrop and noise.
        size: Side of the image in pixels.
        style: A name in `STYLES`.
        occlusion: Probability that something covers a part of the face.
        masks: Also return region masks.

    Returns:
        uint8 (size, size, 3) RGB, and bool (4, size, size) in the order of `REGIONS` or None. Masks
        say where a region is, covered or not.
    """
    rng = np.random.default_rng(seed)
    view = View.sample(rng, occlusion=occlusion)
    look = STYLES[style]
    face = Face.build(person, units, look.palette(person))

    scene = _draw_parts(face, view)
    if view.cover is not None:
        draw_cover(scene, face, view.cover, rng)

    image = np.asarray(paint(scene, view, look, size))
    regions = paint_masks(region_outlines(face), view, size) if masks else None
    return image, regions


def _draw_parts(face: Face, view: View) -> Scene:
    """All parts of a face; within a layer, later parts lie above earlier ones."""
    scene = Scene()
    draw_hair_back(scene, face)
    draw_body(scene, face)
    draw_head(scene, face)
    draw_freckles(scene, face)
    draw_nose(scene, face, view.light[0])
    draw_eyes(scene, face, view.gaze)
    draw_brows(scene, face)
    draw_beard(scene, face)
    draw_mouth(scene, face)
    draw_hair_front(scene, face)
    draw_glasses(scene, face)
    return scene
