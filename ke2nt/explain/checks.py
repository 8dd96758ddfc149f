"""Whether a map is right: deletion and insertion curves, and its share inside known regions."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from ke2nt.explain.heat import forward_faces, upsample_map
from ke2nt.explain.target import Target
from ke2nt.models.base import ExpressionModel
from ke2nt.runtime.seeding import torch_generator

__all__ = ["Curves", "compute_deletion_insertion", "draw_random_map", "compute_region_share"]


@dataclass(frozen=True, slots=True)
class Curves:
    """Score of a target while places are taken away, and while they come back.

    Petsiuk et al., "RISE" (BMVC 2018, https://arxiv.org/abs/1806.07421), section 4.3.

    Attributes:
        deletion: (T + 1,) probability with the places of highest heat replaced by the face's mean
            color, from none to all of them.
        insertion: (T + 1,) probability with these places alone, from none to all.
    """

    deletion: np.ndarray
    insertion: np.ndarray

    @property
    def deletion_area(self) -> float:
        """Mean of the deletion curve by the trapezium rule, in [0, 1]; low is good."""
        return float(np.trapezoid(self.deletion) / (len(self.deletion) - 1))

    @property
    def insertion_area(self) -> float:
        """Mean of the insertion curve by the trapezium rule, in [0, 1]; high is good."""
        return float(np.trapezoid(self.insertion) / (len(self.insertion) - 1))


@torch.no_grad()
def compute_deletion_insertion(
    model: ExpressionModel, crop: np.ndarray, target: Target, heat: np.ndarray, *, steps: int = 16
) -> Curves:
    """Both curves of a map of a class.

    Args:
        model: In evaluation mode.
        crop: uint8 (S, S, 3).
        target: A class of the model.
        heat: (S, S).
        steps: T, in which equal shares of the places go.
    """
    side = crop.shape[0]
    color = crop.reshape(-1, 3).mean(axis=0).round().astype(np.uint8)
    order = np.argsort(-heat, axis=None, kind="stable")
    rank = np.empty(side * side, np.int64)
    rank[order] = np.arange(side * side)
    rank = rank.reshape(side, side)
    bounds = np.linspace(0, side * side, steps + 1).round().astype(np.int64)
    hottest = (rank[None] < bounds[:, None, None])[..., None]
    faces = np.concatenate([np.where(hottest, color, crop), np.where(hottest, crop, color)])
    logits = forward_faces(model, faces).logits.double()
    probability = logits.softmax(dim=1)[:, target.index].cpu().numpy()
    return Curves(probability[: steps + 1], probability[steps + 1 :])


def draw_random_map(size: int, *seed: int | str, grid: int = 7) -> np.ndarray:
    """A map that knows nothing, as smooth as those of grid × grid cells: float32 (size, size)."""
    noise = torch.rand(grid, grid, generator=torch_generator(0, "random map", *seed))
    return upsample_map(noise, size)


def compute_region_share(heat: np.ndarray, region: np.ndarray) -> float:
    """Share of a map's mass inside a region.

    Args:
        heat: (S, S); values below 0 count as 0.
        region: bool (S, S).

    Returns:
        In [0, 1]; a flat map gives the share of the area.
    """
    mass = np.maximum(heat, 0.0).astype(np.float64)
    if not mass.any():
        return float(region.mean())
    return float(mass[region].sum() / mass.sum())
