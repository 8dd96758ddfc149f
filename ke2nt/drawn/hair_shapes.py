"""Outlines of hair styles and of the headscarf, as tables in face coordinates."""

from __future__ import annotations

from collections.abc import Mapping

__all__ = [
    "BACK",
    "CROWN",
    "DEFAULT_VOLUME",
    "HAIRLINES",
    "SCARF_BACK",
    "SCARF_FOLD",
    "SCARF_FRAME",
    "SCARF_FRONT",
    "VOLUMES",
]

Line = tuple[tuple[float, float], ...]

# Style → hairline from the left temple to the right one, as the image shows it
HAIRLINES: Mapping[str, Line] = {
    "short": (
        *((-0.62, -0.42), (-0.52, -0.62), (-0.2, -0.7)),
        *((0.2, -0.7), (0.52, -0.62), (0.62, -0.42)),
    ),
    "side": (
        *((-0.64, -0.32), (-0.5, -0.48), (-0.1, -0.62)),
        *((0.3, -0.76), (0.52, -0.66), (0.62, -0.42)),
    ),
    "long": (
        *((-0.66, -0.2), (-0.52, -0.5), (-0.16, -0.74)),
        *((0.0, -0.82), (0.5, -0.52), (0.66, -0.2)),
    ),
    "bob": (
        *((-0.67, -0.1), (-0.5, -0.46), (-0.2, -0.62)),
        *((0.2, -0.68), (0.52, -0.5), (0.67, -0.1)),
    ),
    "bun": (
        *((-0.62, -0.36), (-0.5, -0.6), (-0.2, -0.73)),
        *((0.2, -0.73), (0.5, -0.6), (0.62, -0.36)),
    ),
    "curly": (
        *((-0.64, -0.35), (-0.5, -0.56), (-0.2, -0.62)),
        *((0.2, -0.63), (0.5, -0.56), (0.64, -0.35)),
    ),
    "fringe": (
        *((-0.67, -0.2), (-0.56, -0.44), (-0.2, -0.47)),
        *((0.2, -0.48), (0.56, -0.44), (0.67, -0.2)),
    ),
    "buzz": (
        *((-0.6, -0.5), (-0.5, -0.66), (-0.2, -0.74)),
        *((0.2, -0.74), (0.5, -0.66), (0.6, -0.5)),
    ),
    "headscarf": (
        *((-0.6, -0.2), (-0.5, -0.5), (-0.2, -0.68)),
        *((0.2, -0.68), (0.5, -0.5), (0.6, -0.2)),
    ),
}

# Style → size of the hair over the skull
VOLUMES: Mapping[str, float] = {
    "buzz": 1.02,
    "curly": 1.16,
    "long": 1.1,
    "bob": 1.12,
    "fringe": 1.09,
}
DEFAULT_VOLUME = 1.07

# Right half of the skull from above the sideburn to the crown; the sideburn itself varies
CROWN: Line = ((0.79, -0.35), (0.67, -0.8), (0.38, -1.1), (0.0, -1.19))

# Style → right half of what hangs behind head and neck, from top to bottom
BACK: Mapping[str, Line] = {
    "long": (
        *((0.0, -1.2), (0.6, -1.02), (0.86, -0.4), (0.9, 0.3)),
        *((0.98, 1.0), (0.92, 1.75), (0.0, 1.8)),
    ),
    "bob": (
        *((0.0, -1.18), (0.6, -1.0), (0.88, -0.4), (0.93, 0.2)),
        *((0.86, 0.66), (0.5, 0.8), (0.0, 0.8)),
    ),
    "fringe": (
        *((0.0, -1.16), (0.58, -1.0), (0.84, -0.4), (0.86, 0.2)),
        *((0.8, 0.5), (0.4, 0.6), (0.0, 0.6)),
    ),
}

# Right halves of the headscarf: behind the head, in front of it, and its edge around the face
SCARF_BACK: Line = (
    *((0.0, -1.16), (0.62, -1.0), (0.86, -0.4), (0.84, 0.4)),
    *((0.8, 1.0), (1.3, 1.7), (0.0, 2.2)),
)
SCARF_FRONT: Line = (
    *((0.0, -1.17), (0.6, -1.0), (0.86, -0.4), (0.85, 0.3)),
    *((0.8, 0.9), (1.2, 1.7), (0.0, 2.2)),
)
SCARF_FRAME: Line = ((0.6, -0.2), (0.66, 0.2), (0.6, 0.6), (0.36, 0.98), (0.0, 1.14))
SCARF_FOLD: Line = ((0.3, 1.12), (0.2, 1.4), (0.3, 1.8))
