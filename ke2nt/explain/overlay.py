"""Heat maps drawn over a face."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from ke2nt.data.images import decode

__all__ = ["tint"]

_FOR_COLOR, _AGAINST_COLOR = (255, 120, 0), (0, 110, 255)
_MAX_OPACITY = 0.62
_MIN_FULL_EFFECT = 0.05  # smallest log-odds drawn with full opacity, so that noise stays pale


def tint(crop: np.ndarray, effect: Tensor, size: int = 224) -> np.ndarray:
    """Draw a map over a face: orange for evidence for the target, blue for evidence against it.

    Args:
        crop: uint8 (S, S, 3).
        effect: (G, G) or (S, S) map, such as the log-odds lost by covering each region.
        size: Side of the result in pixels.

    Returns:
        uint8 (size, size, 3).
    """
    face = torch.from_numpy(decode(crop, size=size)).float()

    # (size, size, 1), from -1 to 1
    smooth = functional.interpolate(
        effect.float()[None, None], size=(size, size), mode="bicubic", align_corners=False
    )[0, 0, :, :, None]
    strength = (smooth / max(float(effect.abs().max()), _MIN_FULL_EFFECT)).clamp(-1, 1)

    for_color, against_color = torch.tensor(_FOR_COLOR), torch.tensor(_AGAINST_COLOR)
    color = torch.where(strength > 0, for_color, against_color).float()
    opacity = _MAX_OPACITY * strength.abs()
    return (face * (1 - opacity) + color * opacity).round().to(torch.uint8).numpy()
