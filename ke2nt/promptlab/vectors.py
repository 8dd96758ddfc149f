"""Angles, separation and near-duplicates of text embeddings."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

__all__ = ["Separability", "direction_angles", "near_pairs", "separability"]


@dataclass(frozen=True, slots=True)
class Separability:
    """How far the prompts of a class stand apart from the other classes.

    Attributes:
        own: Mean cosine of its prompts with the mean direction of its other prompts; None for a
            single prompt.
        other: Mean cosine of its prompts with the other class that is nearest to each; None for a
            single class.
        recovered: Share of its prompts that are nearer to their own class, made without them, than
            to any other; None where `own` or `other` is.
    """

    own: float | None
    other: float | None
    recovered: float | None


def separability(vectors: np.ndarray, owners: np.ndarray, num_classes: int) -> list[Separability]:
    """How far the prompts of each class stand apart.

    Args:
        vectors: (P, D) prompt embeddings, any norm but 0.
        owners: (P,) class index of each prompt; every class has at least one.
        num_classes: K.

    Returns:
        One entry for each class.
    """
    unit = _unit(vectors)
    sums = np.stack([unit[owners == k].sum(axis=0) for k in range(num_classes)])
    rows = np.arange(len(unit))
    counts = np.bincount(owners, minlength=num_classes)
    cosines = unit @ _unit(sums).T
    cosines[rows, owners] = -np.inf
    other = cosines.max(axis=1)
    rest = np.where((counts > 1)[owners, None], sums[owners] - unit, unit)
    own = (unit * _unit(rest)).sum(axis=1)
    found = []
    for k in range(num_classes):
        mine, alone, only = owners == k, counts[k] == 1, num_classes == 1
        found.append(
            Separability(
                own=None if alone else float(own[mine].mean()),
                other=None if only else float(other[mine].mean()),
                recovered=None if alone or only else float((own[mine] > other[mine]).mean()),
            )
        )
    return found


def direction_angles(directions: np.ndarray) -> np.ndarray:
    """Degrees between directions (M, D), as (M, M) in [0, 180]; 0 on the diagonal."""
    unit = _unit(directions)
    angles = np.degrees(np.arccos(np.clip(unit @ unit.T, -1, 1)))
    np.fill_diagonal(angles, 0)
    return angles


def near_pairs(vectors: np.ndarray, threshold: float) -> list[tuple[int, int, float]]:
    """(i, j, cosine) of every pair i < j of rows with a cosine of at least `threshold`, falling."""
    unit = _unit(vectors)
    cosine = np.clip(unit @ unit.T, -1, 1)
    first, second = np.nonzero(np.triu(cosine >= threshold, 1))
    values = cosine[first, second]
    order = np.argsort(-values, kind="stable")
    return [(int(first[o]), int(second[o]), float(values[o])) for o in order]


def _unit(vectors: np.ndarray) -> np.ndarray:
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
