"""Eyes: lids that open and narrow, gaze, and the folds around them."""

from __future__ import annotations

import numpy as np

from ke2nt.drawn.colors import WHITE, Color, mix
from ke2nt.drawn.curves import SIDES, ellipse, moved
from ke2nt.drawn.expression import ActionUnits
from ke2nt.drawn.face import Face
from ke2nt.drawn.identity import Identity
from ke2nt.drawn.scene import Scene

__all__ = ["draw_eyes", "eye_lids"]

# (13,) position along a lid: −1 at the inner corner, 1 at the outer one
_T = np.linspace(-1, 1, 13)
_ARCH = (1 - _T**2) ** 0.75
_MIDDLE = 6

_RING: Color = (14, 10, 12)
_PUPIL: Color = (12, 9, 11)

# Height of a crow's foot beside the eye, and its rise
_CROWS_FEET = ((-0.03, -0.05), (0.012, 0.0), (0.05, 0.045))


def eye_lids(person: Identity, units: ActionUnits, side: int) -> tuple[np.ndarray, np.ndarray]:
    """Edges of the upper and lower lid on one side (−1 or 1), each (13, 2), inner to outer."""
    x = side * 0.335 * person.eye_spacing
    y = -0.06 + person.eye_y
    half = 0.185 * person.eye_size
    squint, closure = units(7, side), units(43, side)

    # Heights of the two lids above and below the line between the corners
    top = 0.098 * person.eye_size * person.eye_open
    top *= 1 + 0.6 * units(5, side) - 0.3 * squint - 0.28 * units(6, side) - 0.2 * units(9, side)
    top *= 1 - 0.62 * closure
    low = 0.062 * person.eye_size
    low *= 1 + 0.12 * units(5, side) - 0.55 * squint - 0.75 * units(6, side) - 0.4 * units(9, side)

    # The inner corner of the lid follows the brow: up in sadness and fear, down in anger
    raised, knit = units(1, side), units(4, side)
    slant = 0.45 * min(raised, 1) * (0.4 + 0.6 * knit) - 0.5 * knit * (1 - min(1, 1.3 * raised))
    arch = _ARCH * (1 - slant * _T)

    line = y - person.eye_tilt * _T
    base = x + side * half * _T
    upper = np.stack([base, line - top * arch], axis=1)
    lower = np.stack([base, line + low * _ARCH], axis=1)
    return upper, lower


def draw_eyes(scene: Scene, face: Face, gaze: tuple[float, float]) -> None:
    """Both eyes; `gaze` shifts the irises, in face units."""
    person, palette = face.person, face.palette
    female = person.attributes["gender"] == "female"

    for side in SIDES:
        upper, lower = eye_lids(person, face.units, side)

        # Shadow of the socket, then the eyeball between the lids
        center = upper[_MIDDLE, 0], -0.06 + person.eye_y
        half = 0.185 * person.eye_size
        socket = ellipse(center[0] - side * 0.02, center[1] - 0.04, half * 1.25, 0.17)
        scene.fill("broad", socket, palette.shade, alpha=0.32)
        _draw_lid_folds(scene, face, side, (upper, lower))
        scene.fill("front", np.concatenate([upper, lower[::-1]]), palette.white)

        # Shadow of the upper lid on it
        shadow = np.concatenate([upper, moved(upper, 0, 0.03)[::-1]])
        scene.fill("front", _between(shadow, upper, lower), palette.fold, alpha=0.28)
        x = center[0] + gaze[0]
        y = center[1] - 0.018 + gaze[1] + 0.055 * face.units(64, side)
        _draw_iris(scene, face, (x, y), (upper, lower))

        # Lashes, longer in women
        width = 0.048 if female else 0.036
        lash = moved(upper, 0, -0.006)
        scene.line("front", lash, width, palette.lash, alpha=0.95, start=0.55, end=1.3)
        if female:
            wing = upper[-1] + np.array([(-side * 0.02, -0.012), (0, 0), (side * 0.045, -0.035)])
            scene.line("front", wing, 0.024, palette.lash, alpha=0.9, end=0.3)
        scene.line("front", lower, 0.018, palette.fold, alpha=0.55, start=0.5)


def _draw_iris(
    scene: Scene, face: Face, center: tuple[float, float], lids: tuple[np.ndarray, np.ndarray]
) -> None:
    """Iris with a dark ring, pupil and reflection, as far as the lids leave them open."""
    x, y = center
    palette = face.palette
    radius = 0.088 * (0.94 + 0.06 * face.person.eye_size)

    ring = mix(palette.iris, _RING, 0.6)
    for share, color in ((1.0, ring), (0.82, palette.iris), (0.47, _PUPIL)):
        disc = ellipse(x, y, radius * share, radius * share, count=22)
        scene.fill("front", _between(disc, *lids), color)

    spark = ellipse(x - 0.03, y - 0.032, 0.024, 0.024, count=8)
    scene.fill("front", _between(spark, *lids), WHITE, alpha=0.92)


def _draw_lid_folds(
    scene: Scene, face: Face, side: int, lids: tuple[np.ndarray, np.ndarray]
) -> None:
    """Crease above, pouch below, crow's feet beside the eye (AU6, AU7, age)."""
    person, units, palette = face.person, face.units, face.palette
    upper, lower = lids
    cheek = max(units(6, side), 0.5 * units(7, side), 0.6 * units(9, side))

    crease = moved(upper[1:], 0, -0.05 + 0.025 * units(5, side))
    crease_alpha = person.crease * 0.6 * (1 - 0.5 * units(5, side))
    scene.line("front", crease, 0.02, palette.fold, alpha=crease_alpha)

    pouch = moved(lower[2:-1], 0, 0.055 - 0.012 * cheek)
    pouch_alpha = 0.12 + 0.55 * cheek + 0.3 * person.wrinkles
    scene.line("fine", pouch, 0.03, palette.shade, alpha=pouch_alpha)

    # Three lines that fan out from the outer corner
    feet = units(6, side) * (0.45 + 0.5 * person.wrinkles) + 0.25 * person.wrinkles
    if feet > 0.12:
        x, y = upper[-1]
        for dy, rise in _CROWS_FEET:
            start = (x + side * 0.03, y + dy)
            middle = (x + side * 0.075, y + dy + 0.6 * rise)
            end = (x + side * 0.12, y + dy + rise)
            foot = np.array([start, middle, end])
            scene.line("front", foot, 0.014, palette.fold, alpha=0.6 * feet)


def _between(points: np.ndarray, upper: np.ndarray, lower: np.ndarray) -> np.ndarray:
    """Points (N, 2) moved to where they lie between the lids."""
    # np.interp needs ascending x, and the lids run from the inner to the outer corner
    order = slice(None) if upper[0, 0] < upper[-1, 0] else slice(None, None, -1)
    x = points[:, 0].clip(upper[:, 0].min(), upper[:, 0].max())
    high = np.interp(x, upper[order, 0], upper[order, 1])
    deep = np.interp(x, lower[order, 0], lower[order, 1])
    return np.stack([x, points[:, 1].clip(high, np.maximum(high, deep))], axis=1)
