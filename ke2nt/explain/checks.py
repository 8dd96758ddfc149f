"""Checks of heat maps: deletion and insertion curves, and the share inside known regions."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from ke2nt.explain.heat import forward_faces, upsample_map
from ke2nt.explain.target import Target
from ke2nt.models.base import ExpressionModel
from ke2nt.runtime.seeding import torch_generator

__all__ = ["Curves", "compute_deletion_insertion", "compute_region_share", "draw_random_map"]


@dataclass(frozen=True, slots=True)
class Curves:
    """Probability of a target while pixels are removed, and while they are restored.

    Petsiuk et al., "RISE" (BMVC 2018, https://arxiv.org/abs/1806.07421), section 4.3.

    Attributes:
        deletion: (T + 1,) probability with the hottest pixels replaced by the mean color of the
            face, from none to all of them.
        insertion: (T + 1,) probability with these pixels alone, from none to all of them.
    """

    deletion: np.ndarray
    insertion: np.ndarray

    @property
    def deletion_area(self) -> float:
        """Mean of the deletion curve by the trapezoidal rule, in [0, 1]; lower is better."""
        return float(np.trapezoid(self.deletion) / (len(self.deletion) - 1))

    @property
    def insertion_area(self) -> float:
        """Mean of the insertion curve by the trapezoidal rule, in [0, 1]; higher is better."""
        return float(np.trapezoid(self.insertion) / (len(self.insertion) - 1))


@torch.no_grad()
def compute_deletion_insertion(
    model: ExpressionModel, crop: np.ndarray, target: Target, heat: np.ndarray, *, steps: int = 16
) -> Curves:
    """Compute both curves for a heat map of a class.

    Args:
        model: In evaluation mode.
        crop: uint8 (S, S, 3).
        target: A class of the model.
        heat: (S, S).
        steps: T, the number of equal steps.
    """
    side = crop.shape[0]
    num_pixels = side * side
    mean_color = crop.reshape(-1, 3).mean(axis=0).round().astype(np.uint8)

    # (S, S) rank of each pixel, 0 for the hottest
    order = np.argsort(-heat, axis=None, kind="stable")
    rank = np.empty(num_pixels, np.int64)
    rank[order] = np.arange(num_pixels)
    rank = rank.reshape(side, side)

    # (T + 1, S, S, 1) the hottest pixels of each step
    counts = np.linspace(0, num_pixels, steps + 1).round().astype(np.int64)
    hottest = (rank[None] < counts[:, None, None])[..., None]

    # both curves in one batch
    deleted = np.where(hottest, mean_color, crop)
    inserted = np.where(hottest, crop, mean_color)
    logits = forward_faces(model, np.concatenate([deleted, inserted])).logits.cpu().double()
    probability = logits.softmax(dim=1)[:, target.index].numpy()
    return Curves(probability[: steps + 1], probability[steps + 1 :])


def draw_random_map(size: int, *seed: int | str, grid: int = 7) -> np.ndarray:
    """Draw a random map as smooth as one of grid × grid cells: float32 (size, size)."""
    noise = torch.rand(grid, grid, generator=torch_generator(0, "random map", *seed))
    return upsample_map(noise, size)


def compute_region_share(heat: np.ndarray, region: np.ndarray) -> float:
    """Compute the share of the heat inside a region.

    Args:
        heat: (S, S); values below 0 count as 0.
        region: bool (S, S).

    Returns:
        In [0, 1]; for a map without heat the share of the area.
    """
    positive = np.maximum(heat, 0.0).astype(np.float64)
    if not positive.any():
        return float(region.mean())
    return float(positive[region].sum() / positive.sum())
