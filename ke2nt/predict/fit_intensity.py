"""Where intensity is 0 and 1, from faces that a model was not trained on."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ke2nt.errors import DataError
from ke2nt.labels import NEUTRAL
from ke2nt.predict.intensity import IntensityScale

__all__ = ["fit_intensity_scale"]

_FEWEST = 10  # faces of a class that its unit is measured on


def fit_intensity_scale(
    moves: np.ndarray, labels: np.ndarray, answers: np.ndarray, classes: Sequence[str]
) -> IntensityScale:
    """The scale of labeled faces: zero is the median neutral one, 1 the median one of a class.

    Neutral faces count as labeled; those of another class only where the model names them rightly.
    A class with fewer than ten of them, or not above zero, gets the median unit of the others.

    Args:
        moves: (N, K), from `intensity` without a neutral face.
        labels: (N,) true class indices.
        answers: (N,) the model's own.
        classes: K names, neutral among them.

    Raises:
        DataError: There are no neutral faces, or no class has a unit.
    """
    if NEUTRAL not in classes or not (labels == classes.index(NEUTRAL)).any():
        raise DataError("intensity starts at neutral faces", expected="some of them", found="none")
    zero = np.median(moves[labels == classes.index(NEUTRAL)], axis=0)
    units: dict[str, float] = {}
    for index, name in enumerate(classes):
        own = moves[(labels == index) & (answers == index), index]
        unit = float(np.median(own) - zero[index]) if len(own) >= _FEWEST else 0.0
        if name != NEUTRAL and unit > 0:
            units[name] = unit
    if not units:
        raise DataError(
            "no class has an intensity", expected="ten faces or more that move away from neutral"
        )
    typical = float(np.median([*units.values()]))
    others = [name for name in classes if name != NEUTRAL]
    return IntensityScale(
        zero={name: float(zero[classes.index(name)]) for name in others},
        unit={name: units.get(name, typical) for name in others},
    )
