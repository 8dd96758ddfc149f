"""From shapes to pixels: projection, soft shading, supersampled painting, region masks."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageChops, ImageDraw, ImageFilter

from ke2nt.drawn.scene import LAYERS, Layer, Scene, Shape
from ke2nt.drawn.style import Style
from ke2nt.drawn.view import View

__all__ = ["paint", "paint_masks"]

_MIN_CANVAS = 176
_LIGHT_SIDE = 24
_PAPER = (248, 246, 240)
_NEAREST = Image.Resampling.NEAREST

# Soft layers: their size as a share of the canvas, and the radius of their blur in face units
_SOFT: tuple[tuple[Layer, float, float], ...] = (("broad", 0.25, 0.12), ("fine", 0.5, 0.022))

# Layer → polygons as x, y, x, y … in pixels, each with its shape
Projected = dict[Layer, list[tuple[list[float], Shape]]]


def paint(scene: Scene, view: View, style: Style, size: int) -> Image.Image:
    """Paint a scene as an RGB image of size × size pixels."""
    # The canvas is larger than the image, which is reduced from it at the end
    factor = max(2, -(-_MIN_CANVAS // size))
    side = size * factor
    projected = _project(scene, view, side)

    rng = np.random.default_rng(view.detail_seed)
    canvas = _backdrop(style, rng, size, side)
    draw = ImageDraw.Draw(canvas, "RGBA")
    pen = round(style.outline * view.scale * side)

    # From back to front; features get a thinner outline
    _fill(draw, projected["back"], style, pen)
    _fill(draw, projected["skin"], style, pen)
    _shade_skin(canvas, projected, view, style)
    if pen:
        _outline(draw, projected["skin"], style, pen)
    _fill(draw, projected["front"], style, max(1, pen // 2) if pen else 0)
    _fill(draw, projected["top"], style, pen)

    return style.finish(canvas.reduce(factor), rng)


def paint_masks(regions: Sequence[Sequence[np.ndarray]], view: View, size: int) -> np.ndarray:
    """Region masks.

    Args:
        regions: Outlines (N, 2) of each region in face coordinates.
        view: Pose, as for the image.
        size: Side in pixels.

    Returns:
        bool (R, size, size).
    """
    masks = np.zeros((len(regions), size, size), dtype=bool)
    for mask, outlines in zip(masks, regions, strict=True):
        image = Image.new("1", (size, size))
        draw = ImageDraw.Draw(image)
        for points in outlines:
            pixels = view.project(points, np.zeros(len(points)), size)
            draw.polygon(pixels.ravel().tolist(), fill=1)
        mask[:] = np.asarray(image)
    return masks


def _project(scene: Scene, view: View, side: int) -> Projected:
    """All shapes in pixels, projected in one call."""
    shapes = [(layer, shape) for layer in LAYERS for shape in scene.shapes[layer]]
    counts = np.array([len(shape.points) for _, shape in shapes])
    points = np.concatenate([shape.points for _, shape in shapes])
    depth = np.repeat([shape.depth for _, shape in shapes], counts)
    coordinates = view.project(points, depth, side).ravel().tolist()

    # Two coordinates per point
    projected: Projected = {layer: [] for layer in LAYERS}
    start = 0
    for (layer, shape), count in zip(shapes, counts.tolist(), strict=True):
        projected[layer].append((coordinates[start : start + 2 * count], shape))
        start += 2 * count
    return projected


def _fill(
    draw: ImageDraw.ImageDraw, shapes: list[tuple[list[float], Shape]], style: Style, pen: int
) -> None:
    for points, shape in shapes:
        draw.polygon(points, fill=(*shape.color, shape.alpha))
        if pen and shape.outlined:
            draw.line(points + points[:2], fill=style.line, width=pen)


def _outline(
    draw: ImageDraw.ImageDraw, shapes: list[tuple[list[float], Shape]], style: Style, pen: int
) -> None:
    for points, _ in shapes:
        draw.line(points + points[:2], fill=style.line, width=pen)


def _backdrop(style: Style, rng: np.random.Generator, size: int, side: int) -> Image.Image:
    if style.backdrop == "paper":
        return Image.new("RGB", (side, side), _PAPER)

    gray, spread = rng.uniform(45, 215), rng.uniform(4, 30)
    base = gray + rng.normal(0, 22, 3)
    if style.backdrop == "flat":
        red, green, blue = (int(v) for v in (base * 0.6 + 92).clip(0, 255))
        return Image.new("RGB", (side, side), (red, green, blue))

    # A blurred scene is a grid of 4 × 4 colors, enlarged
    cells = base + rng.normal(0, spread, (4, 4, 1)) + rng.normal(0, 0.35 * spread, (4, 4, 3))
    small = Image.fromarray(cells.clip(0, 255).astype(np.uint8))
    return small.resize((size, size), Image.Resampling.BICUBIC).resize((side, side), _NEAREST)


def _shade_skin(canvas: Image.Image, projected: Projected, view: View, style: Style) -> None:
    """Paint light, relief and folds on the skin that is on the canvas."""
    side = canvas.width

    # Soft shapes are painted small and blurred, the broad ones below the fine ones
    soft = _light(view)
    for layer, share, blur in _SOFT:
        reduced = max(16, round(side * share))
        soft = soft.resize((reduced, reduced), Image.Resampling.BILINEAR)
        draw = ImageDraw.Draw(soft, "RGBA")
        for points, shape in projected[layer]:
            draw.polygon([share * v for v in points], fill=(*shape.color, shape.alpha))
        soft = soft.filter(ImageFilter.BoxBlur(blur * view.scale * reduced))
    lit = ImageChops.hard_light(canvas, soft.resize((side, side), _NEAREST))

    # They show on the skin only, as strongly as the style shades
    mask = Image.new("L", (side, side))
    draw = ImageDraw.Draw(mask)
    for points, _ in projected["skin"]:
        draw.polygon(points, fill=round(255 * style.shading))
    canvas.paste(lit, (0, 0), mask)


def _light(view: View) -> Image.Image:
    """Light on the head as a small RGB map; 128 keeps the skin unchanged."""
    # Position relative to the head's center, in face units
    ramp = (np.arange(_LIGHT_SIDE) + 0.5) / _LIGHT_SIDE - 0.5
    x = (ramp[None, :] - view.shift[0]) / view.scale
    y = (ramp[:, None] - view.shift[1]) / view.scale

    right, up = view.light
    rim = ((x / 0.82) ** 2 + (y / 1.12) ** 2 - 0.45).clip(0, 1)
    value = 130 + 34 * (right * x - 0.7 * up * y) - 34 * rim

    # shadows are warmer than light
    tint = np.array([3.0, 0.0, -3.0]) * ((130 - value) / 40)[..., None]
    return Image.fromarray((value[..., None] + tint).clip(20, 215).astype(np.uint8))
