"""The spatial attention of the model, over all of its stages."""

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
    """Compute the spatial attention, with the stages weighted as in the fused prediction.

    It is the same for every target, because attention comes before the heads.

    Args:
        model: A model with spatial attention, in evaluation mode.
        crop: uint8 (S, S, 3), S the model's image size.
        target: Not used; all methods have one signature.

    Returns:
        float32 (S, S): Σ_i w_i a_i, with the map a_i of each stage first rescaled to 0..1.

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
    heat = np.zeros((size, size), np.float32)
    weights = model.fusion.weights.tolist()
    for weight, attention in zip(weights, output.attention, strict=True):
        # (h, w) of the one face
        stage_map = attention[0].float().cpu()
        heat += weight * upsample_map(rescale_map(stage_map), size)
    return heat
