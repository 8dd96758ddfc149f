"""Outlines of the regions that region masks show."""

from __future__ import annotations

import numpy as np

from ke2nt.drawn.brows import brow_line
from ke2nt.drawn.curves import SIDES, mirror, moved, spline, stroke
from ke2nt.drawn.eyes import eye_lids
from ke2nt.drawn.face import Face
from ke2nt.drawn.nose import nose_base

__all__ = ["REGIONS", "region_outlines"]

REGIONS = ("brows", "eyes", "nose", "mouth")


def region_outlines(face: Face) -> list[list[np.ndarray]]:
    """Closed outlines (N, 2) of each region in face coordinates, in the order of `REGIONS`."""
    brows = [stroke(brow_line(face.person, face.units, side), 0.17) for side in SIDES]
    eyes = [_eye(face, side) for side in SIDES]
    return [brows, eyes, [_nose(face)], [_mouth(face)]]


def _eye(face: Face, side: int) -> np.ndarray:
    upper, lower = eye_lids(face.person, face.units, side)
    return np.concatenate([moved(upper, 0, -0.05), moved(lower, 0, 0.05)[::-1]])


def _nose(face: Face) -> np.ndarray:
    y, w = nose_base(face.person, face.units), 0.17 * face.person.nose_width
    half = [(0.06, -0.2), (0.075, 0.0), (w, y - 0.1), (w, y + 0.03), (0.06, y + 0.08)]
    return mirror(spline(half, steps=4))


def _mouth(face: Face) -> np.ndarray:
    mouth = face.mouth
    (left_x, left_y), (right_x, right_y) = mouth.corner(-1), mouth.corner(1)
    upper, lower = moved(mouth.upper, 0, -0.04), moved(mouth.lower, 0, 0.05)
    left, right = [(left_x - 0.05, left_y)], [(right_x + 0.05, right_y)]
    return np.concatenate([left, upper, right, lower[::-1]])
