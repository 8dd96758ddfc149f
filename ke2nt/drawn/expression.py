"""What a face does: action units of the Facial Action Coding System, by expression and intensity.

The prototypes follow the emotion table of EMFACS (Ekman & Friesen, 1983): each expression has a few
variants, an action unit's activation is in [0, 1], and intensity scales the whole pattern.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from ke2nt.errors import LabelError
from ke2nt.labels import CANONICAL, NEUTRAL, canonical_name

__all__ = ["ACTION_UNITS", "PROTOTYPES", "ActionUnits", "sample_action_units"]

# Brows: 1 inner raiser, 2 outer raiser, 4 lowerer. Eyes: 5 upper lid raiser, 6 cheek raiser, 7 lid
# tightener, 43 closure, 64 downward gaze. Nose: 9 wrinkler, 38 nostril dilator. Mouth: 10 upper lip
# raiser, 12 corner puller (smile), 14 dimpler, 15 corner depressor, 16 lower lip depressor, 17 chin
# raiser, 18 puckerer, 20 stretcher, 23 tightener, 24 presser, 25 lips part, 26 jaw drop, 27 mouth
# stretch.
ACTION_UNITS: tuple[int, ...] = (
    *(1, 2, 4, 5, 6, 7, 9, 10, 12, 14, 15, 16, 17, 18, 20, 23, 24, 25, 26, 27, 38, 43, 64),
)
_ROW = {unit: row for row, unit in enumerate(ACTION_UNITS)}

# Expression → variants → activation at full intensity
PROTOTYPES: Mapping[str, tuple[Mapping[int, float], ...]] = {
    "neutral": ({},),
    "happiness": (
        {6: 0.8, 12: 0.9},
        {6: 0.8, 12: 1.0, 25: 0.9},
        {6: 0.9, 12: 1.0, 25: 1.0, 26: 0.6},
        {6: 1.0, 7: 0.3, 12: 1.0, 25: 1.0, 27: 0.45, 43: 0.25},
    ),
    "surprise": (
        {1: 0.9, 2: 1.0, 5: 0.8, 25: 0.6, 26: 0.9},
        {1: 1.0, 2: 1.0, 5: 0.7, 25: 0.8, 27: 0.9},
        {1: 0.8, 2: 1.0, 5: 0.9, 18: 0.5, 25: 0.7, 26: 0.7},
    ),
    "sadness": (
        {1: 1.0, 4: 0.55, 15: 0.9, 17: 0.5, 43: 0.25},
        {1: 0.9, 4: 0.5, 15: 0.8, 43: 0.4, 64: 0.9},
        {1: 1.0, 4: 0.7, 7: 0.3, 15: 1.0, 17: 0.9},
    ),
    "anger": (
        {4: 1.0, 5: 0.4, 7: 0.7, 17: 0.4, 23: 1.0, 24: 0.7, 38: 0.5},
        {4: 1.0, 5: 0.6, 7: 0.6, 23: 0.8, 25: 0.5, 16: 0.4, 38: 0.6},
        {4: 1.0, 5: 0.5, 7: 0.8, 10: 0.35, 16: 0.7, 25: 1.0, 26: 0.6, 38: 0.9},
    ),
    "disgust": (
        {9: 1.0, 10: 0.8, 17: 0.6, 4: 0.3, 7: 0.5, 15: 0.4},
        {9: 0.9, 10: 1.0, 16: 0.3, 25: 0.6, 4: 0.3, 6: 0.3, 7: 0.5, 15: 0.3},
        {9: 0.8, 10: 1.0, 25: 0.8, 26: 0.4, 4: 0.2, 7: 0.6, 15: 0.5},
    ),
    "fear": (
        {1: 1.0, 2: 0.5, 4: 0.65, 5: 1.0, 20: 1.0, 25: 0.7},
        {1: 1.0, 2: 0.4, 4: 0.6, 5: 1.0, 20: 0.9, 25: 0.8, 26: 0.45},
        {1: 0.9, 2: 0.5, 4: 0.7, 5: 0.9, 7: 0.2, 16: 0.5, 20: 1.0, 25: 0.6, 38: 0.3},
    ),
    "contempt": (
        {12: 0.7, 14: 1.0},
        {10: 0.35, 12: 0.6, 14: 0.9, 43: 0.2},
        {2: 0.5, 12: 0.65, 14: 1.0, 43: 0.15},
    ),
}

# Units of contempt act on one half of the face, except those of the lids
_ONE_SIDED = {"contempt": (2, 10, 12, 14)}
_WEAK_SIDE = 0.06


@dataclass(frozen=True, slots=True, eq=False)
class ActionUnits:
    """Activations of the two halves of a face.

    Attributes:
        values: float64 (A, 2) in [0, 1]; rows in the order of `ACTION_UNITS`, columns the left and
            the right half of an unmirrored image.
    """

    values: np.ndarray
    _rows: list[list[float]] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_rows", self.values.tolist())

    def __call__(self, unit: int, side: int) -> float:
        """Activation of a unit on the left (side −1) or right (side +1) half of the image."""
        return self._rows[_ROW[unit]][0 if side < 0 else 1]

    def both(self, unit: int) -> float:
        """Mean activation of a unit over the two halves."""
        left, right = self._rows[_ROW[unit]]
        return 0.5 * (left + right)


def sample_action_units(
    expression: str, intensity: float, rng: np.random.Generator, *, rest: float = 0.05
) -> ActionUnits:
    """Draw one display of an expression.

    The state at rest is drawn before anything that depends on the expression, so that with the
    same generator state, intensity 0 of any expression equals neutral.

    Args:
        expression: A canonical class name or a synonym of one.
        intensity: 0 (nothing) to 1 (full).
        rng: Source of the variant, of the varying activations and of asymmetry.
        rest: Standard deviation of the activations at rest.

    Raises:
        LabelError: Unknown expression, or an intensity outside [0, 1].
    """
    name = canonical_name(expression)
    if name not in CANONICAL or not 0 <= intensity <= 1:
        raise LabelError("intensity is out of range", expected="0 to 1", found=intensity)

    # (A, 2) small activations at rest, nearly symmetric
    count = len(ACTION_UNITS)
    values = np.abs(rng.normal(0, rest, (count, 1))) + rng.normal(0, rest / 3, (count, 2))

    # Everything is drawn for every expression, neutral included
    variants = PROTOTYPES[name]
    variant = variants[int(rng.integers(len(variants)))]
    scale = rng.normal(1, 0.14, (count, 1)) * (1 + rng.normal(0, 0.05, (count, 2)))
    active_side = int(rng.integers(2))

    if name != NEUTRAL:
        pattern = np.zeros((count, 2))
        for unit, activation in variant.items():
            pattern[_ROW[unit]] = activation
            if unit in _ONE_SIDED.get(name, ()):
                pattern[_ROW[unit], 1 - active_side] *= _WEAK_SIDE
        values = values + intensity * pattern * scale

    return ActionUnits(values.clip(0, 1))
