"""Angles, separability and near-duplicates of text embeddings."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

__all__ = ["Separability", "compute_direction_angles", "compute_separability", "find_near_pairs"]


@dataclass(frozen=True, slots=True)
class Separability:
    """How well the prompts of a class are separated from the other classes.

    Attributes:
        within: Mean cosine of its prompts with the mean direction of its other prompts; None for a
            single prompt.
        between: Mean cosine of its prompts with the nearest other class of each prompt; None for a
            single class.
        recovered: Share of its prompts that are nearer to the mean of the class's other prompts
            than to any other class; None if `within` or `between` is None.
    """

    within: float | None
    between: float | None
    recovered: float | None

    def to_dict(self) -> dict[str, float | None]:
        """Return a plain JSON value."""
        return {"own": self.within, "other": self.between, "recovered": self.recovered}


def compute_separability(
    vectors: np.ndarray, prompt_classes: np.ndarray, num_classes: int
) -> list[Separability]:
    """Compute how well the prompts of each class are separated from the other classes.

    Args:
        vectors: (P, D) prompt embeddings, any norm but 0.
        prompt_classes: (P,) class index of each prompt; every class has at least one.
        num_classes: K.

    Returns:
        One entry for each class.
    """
    unit = _normalize(vectors)
    counts = np.bincount(prompt_classes, minlength=num_classes)
    # (K, D) sums of the unit prompts of each class
    sums = np.stack([unit[prompt_classes == k].sum(axis=0) for k in range(num_classes)])

    # (P,) cosine of each prompt with the nearest other class
    cosines = unit @ _normalize(sums).T
    cosines[np.arange(len(unit)), prompt_classes] = -np.inf
    between = cosines.max(axis=1)

    # (P,) cosine of each prompt with its own class without it; with itself if it is the only one
    several = (counts > 1)[prompt_classes, None]
    rest = np.where(several, sums[prompt_classes] - unit, unit)
    within = (unit * _normalize(rest)).sum(axis=1)

    entries = []
    for k in range(num_classes):
        members = prompt_classes == k
        single_prompt, single_class = counts[k] == 1, num_classes == 1
        recovered = float((within[members] > between[members]).mean())
        entries.append(
            Separability(
                within=None if single_prompt else float(within[members].mean()),
                between=None if single_class else float(between[members].mean()),
                recovered=None if single_prompt or single_class else recovered,
            )
        )
    return entries


def compute_direction_angles(directions: np.ndarray) -> np.ndarray:
    """Compute degrees between directions (M, D), as (M, M) in [0, 180]; 0 on the diagonal."""
    unit = _normalize(directions)
    angles = np.degrees(np.arccos(np.clip(unit @ unit.T, -1, 1)))
    np.fill_diagonal(angles, 0)
    return angles


def find_near_pairs(vectors: np.ndarray, threshold: float) -> list[tuple[int, int, float]]:
    """Find pairs of rows i < j whose cosine is at least `threshold`.

    Returns:
        (i, j, cosine) of each pair, highest cosine first.
    """
    # Each pair once, without the diagonal.
    unit = _normalize(vectors)
    cosine = np.clip(unit @ unit.T, -1, 1)

    first, second = np.nonzero(np.triu(cosine >= threshold, 1))
    values = cosine[first, second]
    order = np.argsort(-values, kind="stable")
    return [(int(first[o]), int(second[o]), float(values[o])) for o in order]


def _normalize(vectors: np.ndarray) -> np.ndarray:
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
