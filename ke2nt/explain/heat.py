"""What the methods share: faces scored for a target, and maps brought to the face's size."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from ke2nt.explain.target import Target
from ke2nt.models.base import ExpressionModel
from ke2nt.models.output import KE2NTOutput

__all__ = ["forward_faces", "upsample_map", "score_faces", "rescale_map"]

_BATCH = 64


def forward_faces(model: ExpressionModel, faces: np.ndarray) -> KE2NTOutput:
    """The model's output for uint8 (B, S, S, 3) faces, with gradients where they are on."""
    device = next(model.parameters()).device
    pixels = torch.tensor(faces).permute(0, 3, 1, 2).to(device)
    return model(model.preprocessing.normalize(pixels))


@torch.no_grad()
def score_faces(model: ExpressionModel, faces: np.ndarray, target: Target) -> Tensor:
    """float64 (N,) scores of uint8 (N, S, S, 3) faces, on the CPU."""
    parts = [
        target.score(forward_faces(model, faces[start : start + _BATCH])).double().cpu()
        for start in range(0, len(faces), _BATCH)
    ]
    return torch.cat(parts)


def upsample_map(heat: Tensor, size: int) -> np.ndarray:
    """A map (h, w) at the size of the face: float32 (size, size), smooth between its cells."""
    grown = functional.interpolate(
        heat.float()[None, None], size=(size, size), mode="bicubic", align_corners=False
    )
    return grown[0, 0].numpy()


def rescale_map(heat: Tensor) -> Tensor:
    """A map from 0, where it is lowest, to 1, where it is highest; 0 where it is flat."""
    low, high = heat.min(), heat.max()
    return (heat - low) / (high - low).clamp(min=torch.finfo(heat.dtype).tiny)
