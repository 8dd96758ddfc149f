"""Occlusion: how much the score drops if a region of the face is covered."""

from __future__ import annotations

import numpy as np

from ke2nt.explain.heat import score_faces, upsample_map
from ke2nt.explain.target import Target
from ke2nt.models.base import ExpressionModel

__all__ = ["GRID", "compute_occlusion_map", "cover_regions"]

GRID = 7
"""Regions along each side of the face."""


def cover_regions(crop: np.ndarray, grid: int = GRID) -> np.ndarray:
    """Copy a face many times, each time with one square covered by the mean color of the face.

    The squares are two cells wide and centered on the cells of a grid, so that neighbors overlap
    (occlusion sensitivity: Zeiler and Fergus, https://arxiv.org/abs/1311.2901, section 4.2).

    Args:
        crop: uint8 (S, S, 3).
        grid: Cells along each side, from 1 to S.

    Returns:
        uint8 (grid², S, S, 3), row by row.
    """
    cell = crop.shape[0] / grid
    mean_color = crop.reshape(-1, 3).mean(axis=0).round().astype(np.uint8)

    copies = np.repeat(crop[None], grid * grid, axis=0)
    for index, copy in enumerate(copies):
        row, column = divmod(index, grid)

        # half a cell beyond the cell on each side; at the border less
        top, left = (max(0, round((i - 0.5) * cell)) for i in (row, column))
        bottom, right = (round((i + 1.5) * cell) for i in (row, column))
        copy[top:bottom, left:right] = mean_color
    return copies


def compute_occlusion_map(model: ExpressionModel, crop: np.ndarray, target: Target) -> np.ndarray:
    """Compute how much of the target's score depends on each region.

    Args:
        model: In evaluation mode.
        crop: uint8 (S, S, 3), S the model's image size.
        target: What is explained.

    Returns:
        float32 (S, S): score of the face minus score with the region covered; below 0 if the region
        is evidence against the target.
    """
    faces = np.concatenate([crop[None], cover_regions(crop)])
    scores = score_faces(model, faces, target)
    lost_scores = (scores[0] - scores[1:]).reshape(GRID, GRID)
    return upsample_map(lost_scores, crop.shape[0])
