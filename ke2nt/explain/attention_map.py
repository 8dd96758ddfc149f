"""Where the model's own spatial attention lies, over all of its stages."""

from __future__ import annotations

import numpy as np
import torch

from ke2nt.errors import ModelError
from ke2nt.explain.heat import forward_faces, rescale_map, upsample_map
from ke2nt.explain.target import Target
from ke2nt.models.base import ExpressionModel

__all__ = ["compute_attention_map"]


@torch.no_grad()
def compute_attention_map(model: ExpressionModel, crop: np.ndarray, target: Target) -> np.ndarray:
    """Spatial attention, the stages weighted as they are in the answer.

    It is the same for every target: attention comes before the heads.

    Args:
        model: A model with spatial attention, in evaluation mode.
        crop: uint8 (S, S, 3), S the model's image size.
        target: Not used; the methods have one signature.

    Returns:
        float32 (S, S): Σ_i w_i a_i, each stage's map stretched from 0 to 1 first.

    Raises:
        ModelError: The model has no spatial attention.
    """
    output = forward_faces(model, crop[None])
    if not output.attention or model.fusion is None:
        raise ModelError(
            "the model has no spatial attention to show",
            expected="a model trained with model.attention",
            hint="Use --method gradcam or occlusion, or train with model.attention=true.",
        )
    size = crop.shape[0]
    weights = model.fusion.weights.tolist()
    total = np.zeros((size, size), np.float32)
    for weight, places in zip(weights, output.attention, strict=True):
        total += weight * upsample_map(rescale_map(places[0].float().cpu()), size)
    return total
