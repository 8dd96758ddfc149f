"""A face that differs from a plain one in a known place alone."""

from __future__ import annotations

import numpy as np

SIZE = 48
CLASSES = ("neutral", "happiness", "anger")
CORNER = (slice(4, 20), slice(28, 44))  # where the bright square is


def bright_corner():
    """A dark face with one bright square."""
    pixels = np.full((SIZE, SIZE, 3), 60, np.uint8)
    pixels[CORNER] = 250
    return pixels
