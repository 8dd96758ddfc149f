"""A face under the colors of a heat map."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from ke2nt.data.images import decode

__all__ = ["tint"]

_FOR, _AGAINST = (255, 120, 0), (0, 110, 255)
_STRONGEST = 0.62  # opacity
_LEAST = 0.05  # log-odds that have full opacity at the least, so that noise stays pale


def tint(crop: np.ndarray, effect: Tensor, size: int = 224) -> np.ndarray:
    """A face under the colors of an effect.

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
    color = torch.where(strength > 0, torch.tensor(_FOR), torch.tensor(_AGAINST)).float()
    opacity = _STRONGEST * strength.abs()
    return (face * (1 - opacity) + color * opacity).round().to(torch.uint8).numpy()
