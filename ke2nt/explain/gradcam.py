"""Grad-CAM by the package grad-cam. The only file that imports it."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ke2nt.errors import ModelError
from ke2nt.explain.target import Target
from ke2nt.models.base import ExpressionModel
from ke2nt.runtime.optional import import_optional

__all__ = ["compute_gradcam_map"]

_MIN_CELLS = 6


class _TargetScore(nn.Module):
    """A model as images → (B,) scores of a target."""

    def __init__(self, model: ExpressionModel, target: Target) -> None:
        super().__init__()
        self.model, self.target = model, target

    def forward(self, images: Tensor) -> Tensor:
        return self.target.score(self.model(images))


def compute_gradcam_map(model: ExpressionModel, crop: np.ndarray, target: Target) -> np.ndarray:
    """Compute Grad-CAM (Selvaraju et al., https://arxiv.org/abs/1610.02391), also for transformers.

    It uses the deepest stage with at least 6 × 6 cells; for small faces the last stage has fewer.

    Args:
        model: In evaluation mode.
        crop: uint8 (S, S, 3), S the model's image size.
        target: What is explained.

    Returns:
        float32 (S, S) in [0, 1].

    Raises:
        MissingExtraError: grad-cam is not installed.
        ModelError: The backbone does not list its stages.
    """
    grad_cam = import_optional("pytorch_grad_cam", extra="explain", purpose="Grad-CAM")
    device = next(model.parameters()).device

    # one image; its memory layout is part of the numbers, because convolutions depend on it
    pixels = torch.tensor(crop).permute(2, 0, 1)[None].to(device)
    images = model.preprocessing(pixels)
    layer = _pick_layer(model, images)

    # without this, a model with frozen weights has no gradient at the layer
    images.requires_grad_()
    with grad_cam.GradCAM(
        model=_TargetScore(model, target).eval(),
        target_layers=[layer],
        reshape_transform=lambda features: _to_channels_first(model, features),
    ) as method:
        heat: np.ndarray = method(input_tensor=images, targets=[lambda score: score])[0]
    return heat.astype(np.float32)


@torch.no_grad()
def _pick_layer(model: ExpressionModel, images: Tensor) -> nn.Module:
    """Pick the module whose output Grad-CAM uses."""
    net: Any = model.backbone.net
    names = [info["module"] for info in getattr(net, "feature_info", ())]
    if not names:
        raise ModelError(
            "this backbone does not list its stages, which Grad-CAM needs",
            hint="Use --method occlusion.",
        )

    # deepest stage that is fine enough, else the finest
    sides = _measure_sides(model, images, names)
    fine_enough = [name for name in sides if sides[name] >= _MIN_CELLS]
    name = fine_enough[-1] if fine_enough else max(sides, key=lambda name: sides[name])

    # the head of a ViT reads only the class token of the last block, so the other tokens get a
    # gradient at the input of that block, not at its output
    stage = net.get_submodule(name)
    # the names of timm, of open_clip and of transformers
    for norm in ("norm1", "ln_1", "layer_norm1"):
        if hasattr(stage, norm):
            return getattr(stage, norm)
    return stage


def _measure_sides(model: ExpressionModel, images: Tensor, names: list[str]) -> dict[str, int]:
    """Name → cells along a side of each stage that runs, shallow to deep."""
    # timm may list modules that do not run in this model
    net: Any = model.backbone.net
    measured: dict[str, int] = {}

    def record_side(name: str) -> Callable[[nn.Module, Any, Tensor], None]:
        def hook(module: nn.Module, inputs: Any, features: Tensor) -> None:
            measured[name] = _to_channels_first(model, features).shape[-1]

        return hook

    handles = [net.get_submodule(name).register_forward_hook(record_side(name)) for name in names]
    try:
        model(images)
    finally:
        for handle in handles:
            handle.remove()
    return {name: measured[name] for name in names if name in measured}


def _to_channels_first(model: ExpressionModel, features: Tensor) -> Tensor:
    """Convert the features of any architecture to (B, C, h, w), without class tokens."""
    # (B, N, C) tokens of a transformer; those that stand for a cell come last
    if features.ndim == 3:
        side = math.isqrt(features.shape[1])
        cells = features[:, features.shape[1] - side * side :]
        return cells.transpose(1, 2).unflatten(2, (side, side))

    if getattr(model.backbone.net, "output_fmt", "NCHW") == "NHWC":
        return features.movedim(-1, 1)
    return features
