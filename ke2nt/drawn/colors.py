"""RGB colors and mixtures of them."""

from __future__ import annotations

__all__ = ["BLACK", "WHITE", "Color", "mix"]

Color = tuple[int, int, int]

BLACK: Color = (0, 0, 0)
WHITE: Color = (255, 255, 255)


def mix(a: Color, b: Color, share: float) -> Color:
    """Color between two: `a` at share 0, `b` at share 1."""
    return (
        round(a[0] + (b[0] - a[0]) * share),
        round(a[1] + (b[1] - a[1]) * share),
        round(a[2] + (b[2] - a[2]) * share),
    )
