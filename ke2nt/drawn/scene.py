"""A list of shapes in face coordinates, in painting order, before any pose or pixel."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal, NamedTuple

import numpy as np

from ke2nt.drawn.curves import stroke

__all__ = ["LAYERS", "Layer", "Scene", "Shape", "mix"]

Color = tuple[int, int, int]
# back: neck, ears, hair behind; skin: the head; broad and fine: soft shading of the skin;
# front: features; top: hair, glasses and what covers the face.
Layer = Literal["back", "skin", "broad", "fine", "front", "top"]
LAYERS: tuple[Layer, ...] = ("back", "skin", "broad", "fine", "front", "top")


class Shape(NamedTuple):
    """A filled outline: points (N, 2), color, opacity, height above the head, drawn rim."""

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
        """Add a filled outline; shapes too faint to see are left out."""
        if alpha > 0.03:
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
        """Add a tapered stroke along (N, 2) points."""
        if alpha > 0.03:
            self.fill(
                layer,
                stroke(points, width, start=start, end=end),
                color,
                alpha=alpha,
                depth=depth,
            )


def mix(a: Color, b: Color, share: float) -> Color:
    """Color between two: `a` at share 0, `b` at share 1."""
    return (
        round(a[0] + (b[0] - a[0]) * share),
        round(a[1] + (b[1] - a[1]) * share),
        round(a[2] + (b[2] - a[2]) * share),
    )
