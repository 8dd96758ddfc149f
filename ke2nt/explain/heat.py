"""Shared by the methods: faces scored for a target, and maps resized to the face."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from ke2nt.explain.target import Target
from ke2nt.models.base import ExpressionModel
from ke2nt.models.output import KE2NTOutput

__all__ = ["forward_faces", "rescale_map", "score_faces", "upsample_map"]

_BATCH_SIZE = 64


def forward_faces(model: ExpressionModel, faces: np.ndarray) -> KE2NTOutput:
    """Run a model on uint8 (B, S, S, 3) faces, with gradients if they are enabled."""
    device = next(model.parameters()).device
    pixels = torch.tensor(faces).permute(0, 3, 1, 2).to(device)
    return model(model.preprocessing(pixels))


@torch.no_grad()
def score_faces(model: ExpressionModel, faces: np.ndarray, target: Target) -> Tensor:
    """Score uint8 (N, S, S, 3) faces for a target: float64 (N,) on the CPU."""
    batches = [
        target.score(forward_faces(model, faces[start : start + _BATCH_SIZE])).cpu().double()
        for start in range(0, len(faces), _BATCH_SIZE)
    ]
    return torch.cat(batches)


def upsample_map(heat: Tensor, size: int) -> np.ndarray:
    """Resize a map (h, w) to the size of the face, bicubic: float32 (size, size)."""
    upsampled = functional.interpolate(
        heat.float()[None, None], size=(size, size), mode="bicubic", align_corners=False
    )
    return upsampled[0, 0].numpy()


def rescale_map(heat: Tensor) -> Tensor:
    """Rescale a map linearly from its minimum and maximum to 0 and 1; a flat map becomes 0."""
    low, high = heat.min(), heat.max()
    return (heat - low) / (high - low).clamp(min=torch.finfo(heat.dtype).tiny)
