"""The intensity scale of a model, fitted on faces that it was not trained on."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ke2nt.errors import DataError
from ke2nt.labels import NEUTRAL
from ke2nt.predict.intensity import IntensityScale

__all__ = ["MIN_FACES", "fit_intensity_scale"]

MIN_FACES = 10
"""Faces of a class that its unit is measured on, at least."""


def fit_intensity_scale(
    moves: np.ndarray, labels: np.ndarray, predictions: np.ndarray, classes: Sequence[str]
) -> IntensityScale:
    """Fit the scale: zero is the median neutral face, 1 the median face of a class.

    All faces labeled neutral are used, and of the other classes those that the model predicts
    correctly. A class with fewer than ten of them, or with a median not above zero, gets the median
    unit of the other classes.

    Args:
        moves: (N, K), from `compute_intensity` without a neutral face.
        labels: (N,) true class indices.
        predictions: (N,) predicted class indices.
        classes: K names, including neutral.

    Raises:
        DataError: There are no neutral faces, or no class has a unit.
    """
    neutral = classes.index(NEUTRAL) if NEUTRAL in classes else None
    if neutral is None or not (labels == neutral).any():
        raise DataError(
            "the intensity scale needs neutral faces",
            expected="at least one face labeled neutral",
            found="none",
        )

    # (K,) where a neutral face lies along the direction of each class
    zero = np.median(moves[labels == neutral], axis=0)
    units = _measure_units(moves, labels, predictions, classes, zero)
    if not units:
        raise DataError(
            "no class has an intensity",
            expected=f"{MIN_FACES} or more faces that move away from neutral",
        )

    # for classes with too few faces
    typical_unit = float(np.median(list(units.values())))
    expressions = [name for name in classes if name != NEUTRAL]
    return IntensityScale(
        zero={name: float(zero[classes.index(name)]) for name in expressions},
        unit={name: units.get(name, typical_unit) for name in expressions},
    )


def _measure_units(
    moves: np.ndarray,
    labels: np.ndarray,
    predictions: np.ndarray,
    classes: Sequence[str],
    zero: np.ndarray,
) -> dict[str, float]:
    """Class → median distance of its correctly predicted faces from zero, if it is above 0."""
    units: dict[str, float] = {}
    for index, name in enumerate(classes):
        # a face that the model misses says nothing about how strong the expression is
        faces = moves[(labels == index) & (predictions == index), index]
        if name == NEUTRAL or len(faces) < MIN_FACES:
            continue

        unit = float(np.median(faces) - zero[index])
        if unit > 0:
            units[name] = unit
    return units
