"""From shapes to pixels: projection, soft shading, supersampled painting, region masks."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageChops, ImageDraw, ImageFilter

from ke2nt.drawn.scene import LAYERS, Layer, Scene, Shape
from ke2nt.drawn.style import Style
from ke2nt.drawn.view import View

__all__ = ["paint", "paint_masks"]

_FINE_CANVAS = 176
_LIGHT = 24
# Soft layers: their size as a share of the canvas, and the radius of their blur in face units.
_SOFT: tuple[tuple[Layer, float, float], ...] = (("broad", 0.25, 0.12), ("fine", 0.5, 0.022))
_NEAREST = Image.Resampling.NEAREST


def paint(scene: Scene, view: View, style: Style, size: int) -> Image.Image:
    """Paint a scene as a picture of size × size pixels, RGB."""
    over = max(2, -(-_FINE_CANVAS // size))
    side = size * over
    placed = _project(scene, view, side)
    rng = np.random.default_rng(view.detail_seed)
    canvas = _backdrop(style, rng, size, side)
    draw = ImageDraw.Draw(canvas, "RGBA")
    pen = round(style.outline * view.scale * side)
    _fill(draw, placed["back"], style, pen)
    _fill(draw, placed["skin"], style, pen)
    canvas.paste(*_shaded(canvas, placed, view, style))
    if pen:
        _outline(draw, placed["skin"], style, pen)
    _fill(draw, placed["front"], style, max(1, pen // 2) if pen else 0)
    _fill(draw, placed["top"], style, pen)
    return style.finish(canvas.reduce(over), rng)


Placed = dict[Layer, list[tuple[list[float], Shape]]]


def _project(scene: Scene, view: View, side: int) -> Placed:
    shapes = [(layer, shape) for layer in LAYERS for shape in scene.shapes[layer]]
    counts = np.array([len(shape.points) for _, shape in shapes])
    points = np.concatenate([shape.points for _, shape in shapes])
    depth = np.repeat([shape.depth for _, shape in shapes], counts)
    flat = view.project(points, depth, side).ravel().tolist()
    placed: Placed = {layer: [] for layer in LAYERS}
    start = 0
    for (layer, shape), count in zip(shapes, counts.tolist(), strict=True):
        placed[layer].append((flat[start : start + 2 * count], shape))
        start += 2 * count
    return placed


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
        return Image.new("RGB", (side, side), (248, 246, 240))
    gray, spread = rng.uniform(45, 215), rng.uniform(4, 30)
    base = gray + rng.normal(0, 22, 3)
    if style.backdrop == "flat":
        red, green, blue = (int(v) for v in (base * 0.6 + 92).clip(0, 255))
        return Image.new("RGB", (side, side), (red, green, blue))
    cells = base + rng.normal(0, spread, (4, 4, 1)) + rng.normal(0, 0.35 * spread, (4, 4, 3))
    small = Image.fromarray(cells.clip(0, 255).astype(np.uint8))
    return small.resize((size, size), Image.Resampling.BICUBIC).resize((side, side), _NEAREST)


def _shaded(
    canvas: Image.Image, placed: Placed, view: View, style: Style
) -> tuple[Image.Image, tuple[int, int], Image.Image]:
    """The skin with light, relief and folds: (picture, corner, mask) for `Image.paste`."""
    side = canvas.width
    soft = _light(view)
    for layer, share, blur in _SOFT:
        reduced = max(16, round(side * share))
        soft = soft.resize((reduced, reduced), Image.Resampling.BILINEAR)
        pencil = ImageDraw.Draw(soft, "RGBA")
        for points, shape in placed[layer]:
            pencil.polygon([share * v for v in points], fill=(*shape.color, shape.alpha))
        soft = soft.filter(ImageFilter.BoxBlur(blur * view.scale * reduced))
    soft = soft.resize((side, side), _NEAREST)
    lit = ImageChops.hard_light(canvas, soft)
    mask = Image.new("L", (side, side))
    brush = ImageDraw.Draw(mask)
    for points, _ in placed["skin"]:
        brush.polygon(points, fill=round(255 * style.shading))
    return lit, (0, 0), mask


def _light(view: View) -> Image.Image:
    """Light on the head as a small RGB map; 128 leaves the skin as it is."""
    ramp = (np.arange(_LIGHT) + 0.5) / _LIGHT - 0.5
    x = (ramp[None, :] - view.shift[0]) / view.scale
    y = (ramp[:, None] - view.shift[1]) / view.scale
    right, up = view.light
    rim = ((x / 0.82) ** 2 + (y / 1.12) ** 2 - 0.45).clip(0, 1)
    value = 130 + 34 * (right * x - 0.7 * up * y) - 34 * rim
    tint = np.array([3.0, 0.0, -3.0]) * ((130 - value) / 40)[..., None]
    return Image.fromarray((value[..., None] + tint).clip(20, 215).astype(np.uint8))


def paint_masks(regions: Sequence[Sequence[np.ndarray]], view: View, size: int) -> np.ndarray:
    """Regions given as outlines in face coordinates → bool (R, size, size), in the same pose."""
    masks = np.zeros((len(regions), size, size), dtype=bool)
    for mask, outlines in zip(masks, regions, strict=True):
        image = Image.new("1", (size, size))
        draw = ImageDraw.Draw(image)
        for points in outlines:
            pixels = view.project(points, np.zeros(len(points)), size)
            draw.polygon(pixels.ravel().tolist(), fill=1)
        mask[:] = np.asarray(image)
    return masks
