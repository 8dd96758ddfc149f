"""Occlusion: what is lost where a region of the face is covered."""

from __future__ import annotations

import numpy as np

from ke2nt.explain.heat import score_faces, upsample_map
from ke2nt.explain.target import Target
from ke2nt.models.base import ExpressionModel

__all__ = ["GRID", "cover_regions", "compute_occlusion_map"]

GRID = 7
"""Regions along each side of the face."""


def cover_regions(crop: np.ndarray, grid: int = GRID) -> np.ndarray:
    """Copies of a face, each with one square hidden under the face's mean color.

    The squares are two cells wide and centered on the cells of a grid, so that neighbors overlap
    (occlusion sensitivity: Zeiler and Fergus, https://arxiv.org/abs/1311.2901, section 4.2).

    Args:
        crop: uint8 (S, S, 3).
        grid: Cells along each side, from 1 to S.

    Returns:
        uint8 (grid², S, S, 3), row by row.
    """
    side = crop.shape[0]
    copies = np.repeat(crop[None], grid * grid, axis=0)
    color = crop.reshape(-1, 3).mean(axis=0).round().astype(np.uint8)
    cell = side / grid
    for index, copy in enumerate(copies):
        row, column = divmod(index, grid)
        top, left = (max(0, round((i - 0.5) * cell)) for i in (row, column))
        bottom, right = (round((i + 1.5) * cell) for i in (row, column))
        copy[top:bottom, left:right] = color
    return copies


def compute_occlusion_map(model: ExpressionModel, crop: np.ndarray, target: Target) -> np.ndarray:
    """How much of the target's score each region carries.

    Args:
        model: In evaluation mode.
        crop: uint8 (S, S, 3), S the model's image size.
        target: What is explained.

    Returns:
        float32 (S, S): the score of the face less that of the face with the place covered; below 0
        where the place speaks against the target.
    """
    scores = score_faces(model, np.concatenate([crop[None], cover_regions(crop)]), target)
    return upsample_map((scores[0] - scores[1:]).reshape(GRID, GRID), crop.shape[0])
