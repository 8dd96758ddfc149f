"""What an answer rests on: the face with one region after another covered."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from ke2nt.data.images import decode

__all__ = ["GRID", "cover_regions", "log_odds", "tint"]

GRID = 7
"""Regions along each side of the face."""
_FOR, _AGAINST = (255, 120, 0), (0, 110, 255)
_STRONGEST = 0.62  # opacity
_LEAST = 0.05  # log-odds that have full opacity at the least, so that noise stays pale


def cover_regions(crop: np.ndarray, grid: int = GRID) -> np.ndarray:
    """Copies of a face, each with one square hidden under the face's mean colour.

    The squares are two cells wide and centred on the cells of a grid, so that neighbours overlap
    (occlusion sensitivity: Zeiler and Fergus, https://arxiv.org/abs/1311.2901, section 4.2).

    Args:
        crop: uint8 (S, S, 3).
        grid: Cells along each side, from 1 to S.

    Returns:
        uint8 (grid², S, S, 3), row by row.
    """
    side = crop.shape[0]
    copies = np.repeat(crop[None], grid * grid, axis=0)
    colour = crop.reshape(-1, 3).mean(axis=0).round().astype(np.uint8)
    cell = side / grid
    for index, copy in enumerate(copies):
        row, column = divmod(index, grid)
        top, left = (max(0, round((i - 0.5) * cell)) for i in (row, column))
        bottom, right = (round((i + 1.5) * cell) for i in (row, column))
        copy[top:bottom, left:right] = colour
    return copies


def log_odds(logits: Tensor, target: int) -> Tensor:
    """log p / (1 − p) of one class, which does not saturate where p is near 1.

    Args:
        logits: (N, K).
        target: Class index.

    Returns:
        (N,); the logits themselves where there is no other class.
    """
    others = torch.cat([logits[:, :target], logits[:, target + 1 :]], dim=1)
    return logits[:, target] - (others.logsumexp(dim=1) if others.shape[1] else 0)


def tint(crop: np.ndarray, effect: Tensor, size: int = 224) -> np.ndarray:
    """A face under the colours of an effect.

    Args:
        crop: uint8 (S, S, 3).
        effect: (G, G) log-odds that are lost where a region is covered: orange above 0 (the region
            speaks for the answer), blue below.
        size: Side of the result in pixels.

    Returns:
        uint8 (size, size, 3).
    """
    face = torch.from_numpy(decode(crop, size=size)).float()
    smooth = functional.interpolate(
        effect.float()[None, None], size=(size, size), mode="bicubic", align_corners=False
    )[0, 0, :, :, None]
    strength = (smooth / max(float(effect.abs().max()), _LEAST)).clamp(-1, 1)
    colour = torch.where(strength > 0, torch.tensor(_FOR), torch.tensor(_AGAINST)).float()
    opacity = _STRONGEST * strength.abs()
    return (face * (1 - opacity) + colour * opacity).round().to(torch.uint8).numpy()
