"""Where the lips are: five curves from the left to the right corner, moved by action units."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ke2nt.drawn.curves import SIDES
from ke2nt.drawn.expression import ActionUnits
from ke2nt.drawn.identity import Identity

__all__ = ["LIP_PROFILE", "Mouth", "jaw_drop", "shape_mouth"]

# (21,) position along the mouth: −1 at the left corner, 1 at the right one
_T = np.linspace(-1, 1, 21)
_DISTANCE = np.abs(_T)
_LEFT_SHARE = (1 - _T) / 2

LIP_PROFILE = (1 - _T**2) ** 0.62
"""(21,) thickness of a lip along the mouth, 0 at the corners and 1 in the middle."""

_CUPIDS_BOW = 1 - 0.3 * np.exp(-((_T / 0.16) ** 2))


@dataclass(frozen=True, slots=True)
class Mouth:
    """Curves of a mouth, each (21, 2) from the left to the right corner of the image.

    Attributes:
        upper, lower: Outer edges of the lips.
        inner_upper, inner_lower: Inner edges; equal where the mouth is closed.
        gap: Greatest opening in face units.
    """

    upper: np.ndarray
    inner_upper: np.ndarray
    inner_lower: np.ndarray
    lower: np.ndarray
    gap: float

    def corner(self, side: int) -> tuple[float, float]:
        """The left (side −1) or right (side 1) corner."""
        x, y = self.inner_upper[0 if side < 0 else -1]
        return float(x), float(y)


def jaw_drop(units: ActionUnits) -> float:
    """How far the jaw hangs, in face units (AU26, AU27)."""
    return 0.14 * units.both(26) + 0.23 * units.both(27)


def shape_mouth(person: Identity, units: ActionUnits) -> Mouth:
    """The mouth of a person who shows some action units."""
    # (21,) upward pull on the upper lip along the mouth (AU9, AU10)
    left_pull, right_pull = (units(10, side) + 0.6 * units(9, side) for side in SIDES)
    sneer = _LEFT_SHARE * left_pull + (1 - _LEFT_SHARE) * right_pull

    x, line = _shape_line(person, units, sneer)
    opening_up, opening_down = _shape_opening(units, sneer)
    inner_upper = line - opening_up
    inner_lower = line + opening_down

    # the lips lie around the opening
    above, below = _lip_heights(person, units, sneer)
    upper = inner_upper - above * LIP_PROFILE * _CUPIDS_BOW
    lower = inner_lower + below * LIP_PROFILE

    return Mouth(
        upper=np.stack([x, upper], axis=1),
        inner_upper=np.stack([x, inner_upper], axis=1),
        inner_lower=np.stack([x, inner_lower], axis=1),
        lower=np.stack([x, lower], axis=1),
        gap=float((inner_lower - inner_upper).max()),
    )


def _shape_line(
    person: Identity, units: ActionUnits, sneer: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """x and y (21,) of the line between closed lips."""
    (reach_left, fall_left), (reach_right, fall_right) = (
        _corner_position(person, units, side) for side in SIDES
    )
    x = np.where(_T < 0, _T * reach_left, _T * reach_right)

    # corners rise and fall, the middle follows chin and smile, a sneer lifts it all
    y = 0.62 + person.mouth_y + 0.03 * (person.length - 1)
    droop = np.where(_T < 0, fall_left, fall_right) * _DISTANCE**1.7
    middle = -0.045 * units.both(17) - 0.02 * units.both(15) + 0.012 * units.both(12)
    center = LIP_PROFILE * middle
    square = (1 - _DISTANCE**4) ** 0.8
    return x, y + droop + center - 0.035 * sneer * square


def _corner_position(person: Identity, units: ActionUnits, side: int) -> tuple[float, float]:
    """How far a corner reaches to its side, and how far it falls, in face units."""
    smile, stretch, tuck = units(12, side), units(20, side), units(14, side)

    reach = 0.25 * person.mouth_width
    reach += 0.085 * smile + 0.085 * stretch + 0.05 * tuck - 0.02 * units(15, side)
    reach -= 0.07 * units(18, side) + 0.075 * units(27, side) + 0.03 * units(26, side)
    reach -= 0.02 * units(24, side)

    fall = person.mouth_curve - 0.125 * smile + 0.115 * units(15, side) + 0.035 * stretch
    fall -= 0.055 * tuck - 0.03 * units(10, side)
    return reach, fall


def _shape_opening(units: ActionUnits, sneer: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(21,) distances of the inner edges above and below the line, in face units."""
    drop, part = jaw_drop(units), min(1.0, units.both(25) + 0.4 * units.both(16))
    smile, stretch = units.both(12), units.both(20)

    # a dropped or puckered mouth opens round, a smiling one in the shape of a box
    roundness = min(1.0, units.both(26) + units.both(27) + units.both(18)) * (1 - smile)
    profile = (1 - _DISTANCE ** (2 + 1.2 * (1 - roundness))) ** (0.55 + 0.25 * (1 - roundness))

    up = part * (0.018 + 0.02 * smile + 0.02 * stretch + 0.025 * sneer)
    lowered_lip = 0.03 + 0.05 * smile + 0.035 * stretch + 0.05 * units.both(16)
    down = part * lowered_lip + 1.05 * drop * max(part, 0.25)
    return up * profile, down * profile


def _lip_heights(
    person: Identity, units: ActionUnits, sneer: np.ndarray
) -> tuple[np.ndarray, float]:
    """Heights of the upper and the lower lip in the middle, in face units."""
    tight = max(units.both(23), units.both(24))
    thin = (1 - 0.55 * tight) * (1 - 0.25 * units.both(12)) * (1 - 0.2 * units.both(20))

    above = 0.056 * person.lip_upper * thin * (1 - 0.12 * sneer) * (1 + 0.15 * units.both(18))
    below = 0.078 * person.lip_lower * thin
    below *= 1 + 0.15 * units.both(17) - 0.2 * units.both(15)
    return above, below
