"""Training images degraded at random, so that a model learns faces of poor cameras and networks."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from ke2nt.data.corruption import KINDS, SEVERITIES, Corruption

__all__ = ["SMALLEST_SIDE", "degrade"]

SMALLEST_SIDE = 40
"""Side in pixels that images are shrunk to at most; smaller ones are degraded at their size."""


def degrade(pixels: Tensor, probability: float, seed: int, rows: slice = slice(None)) -> Tensor:
    """Degrade some images of a batch, each by one corruption of `KINDS` at a severity of 1 to 5.

    An image is degraded at a random resolution, from `SMALLEST_SIDE` to its own, and enlarged
    again: noise and blocks of a small image are large.

    Args:
        pixels: uint8 (B, 3, S, S), in RAM.
        probability: Probability of each image.
        seed: All random numbers are drawn from it.
        rows: Which rows of the global batch these images are.

    Returns:
        uint8 (B, 3, S, S), a copy where any image has changed.
    """
    # of the global batch, so that the number of processes does not change the result
    count, side = len(pixels) * (rows.step or 1), pixels.shape[-1]
    rng = np.random.default_rng(seed)
    chosen = rng.random(count) < probability
    kinds = rng.integers(len(KINDS), size=count)
    severities = rng.integers(1, 1 + len(SEVERITIES[KINDS[0]]), size=count)
    sides = np.exp(rng.uniform(math.log(min(SMALLEST_SIDE, side)), math.log(side), size=count))
    seeds = rng.integers(2**62, size=count)

    degraded = pixels.clone()
    for index, row in enumerate(range(count)[rows]):
        if chosen[row]:
            change = Corruption(KINDS[kinds[row]], int(severities[row]), int(seeds[row]))
            degraded[index] = _changed_at(pixels[index], round(sides[row]), change)
    return degraded


def _changed_at(image: Tensor, side: int, change: Corruption) -> Tensor:
    """Shrink an image uint8 (3, S, S) to `side`, corrupt it, and enlarge it again."""
    small = _resized(image, side).permute(1, 2, 0).contiguous().numpy()
    return _resized(torch.from_numpy(change(small)).permute(2, 0, 1), image.shape[-1])


def _resized(image: Tensor, side: int) -> Tensor:
    """uint8 (3, H, W) → uint8 (3, side, side), antialiased."""
    if image.shape[-1] == side:
        return image
    return functional.interpolate(image[None], (side, side), mode="bilinear", antialias=True)[0]
