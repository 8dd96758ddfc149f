"""Shapes in face coordinates, by layer and in painting order, before any pose or pixel."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal, NamedTuple

import numpy as np

from ke2nt.drawn.colors import Color
from ke2nt.drawn.curves import stroke

__all__ = ["LAYERS", "Layer", "Scene", "Shape"]

# back: neck, ears, hair behind the head; skin: the head; broad and fine: soft shading of the skin;
# front: features; top: hair, glasses and what covers the face
Layer = Literal["back", "skin", "broad", "fine", "front", "top"]
LAYERS: tuple[Layer, ...] = ("back", "skin", "broad", "fine", "front", "top")

_FAINTEST_ALPHA = 0.03


class Shape(NamedTuple):
    """A filled outline.

    Attributes:
        points: (N, 2), closed.
        color: RGB.
        alpha: Opacity, 0 to 255.
        depth: Height above the head in face units; it shifts with the pose.
        outlined: Whether styles with outlines draw its rim.
    """

    points: np.ndarray
    color: Color
    alpha: int
    depth: float
    outlined: bool


@dataclass
class Scene:
    """Shapes of one face by layer."""

    shapes: dict[Layer, list[Shape]] = field(default_factory=lambda: {name: [] for name in LAYERS})

    def fill(
        self,
        layer: Layer,
        points: np.ndarray,
        color: Color,
        *,
        alpha: float = 1.0,
        depth: float = 0.0,
        outlined: bool = False,
    ) -> None:
        """Add a filled outline, unless it is too faint to see."""
        if alpha > _FAINTEST_ALPHA:
            shape = Shape(points, color, round(255 * min(alpha, 1.0)), depth, outlined)
            self.shapes[layer].append(shape)

    def line(
        self,
        layer: Layer,
        points: np.ndarray,
        width: float,
        color: Color,
        *,
        alpha: float = 1.0,
        depth: float = 0.0,
        start: float = 1.0,
        end: float = 1.0,
    ) -> None:
        """Add a tapered stroke along points (N, 2), unless it is too faint to see."""
        if alpha > _FAINTEST_ALPHA:
            outline = stroke(points, width, start=start, end=end)
            self.fill(layer, outline, color, alpha=alpha, depth=depth)
