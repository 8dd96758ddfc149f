"""Grad-CAM by the package grad-cam. The only file that imports it."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ke2nt.errors import ModelError
from ke2nt.explain.target import Target
from ke2nt.models.base import ExpressionModel
from ke2nt.runtime.optional import import_optional

__all__ = ["compute_gradcam_map"]

_LEAST_CELLS = 6


class _Score(nn.Module):
    """A model as images → (B,) scores of a target."""

    def __init__(self, model: ExpressionModel, target: Target) -> None:
        super().__init__()
        self.model, self.target = model, target

    def forward(self, images: Tensor) -> Tensor:
        return self.target.score(self.model(images))


def compute_gradcam_map(model: ExpressionModel, crop: np.ndarray, target: Target) -> np.ndarray:
    """Grad-CAM (Selvaraju et al., https://arxiv.org/abs/1610.02391), transformers included.

    It is taken from the deepest stage that has at least 6 × 6 cells; small faces leave the very
    last one with too few.

    Args:
        model: In evaluation mode.
        crop: uint8 (S, S, 3), S the model's image size.
        target: What is explained.

    Returns:
        float32 (S, S) in [0, 1].

    Raises:
        MissingExtraError: grad-cam is not installed.
        ModelError: The backbone does not tell its stages.
    """
    package = import_optional("pytorch_grad_cam", extra="explain", purpose="Grad-CAM")
    device = next(model.parameters()).device
    pixels = torch.tensor(crop).permute(2, 0, 1)[None].to(device)
    images = model.preprocessing.normalize(pixels)
    layer = _layer(model, images)
    images.requires_grad_()  # else a model whose weights are frozen has no gradient at the layer
    with package.GradCAM(
        model=_Score(model, target).eval(),
        target_layers=[layer],
        reshape_transform=lambda seen: _channels_first(model, seen),
    ) as method:
        heat: np.ndarray = method(input_tensor=images, targets=[lambda score: score])[0]
    return heat.astype(np.float32)


@torch.no_grad()
def _layer(model: ExpressionModel, images: Tensor) -> nn.Module:
    """The module whose output is looked at."""
    net: Any = model.backbone.net
    names = [info["module"] for info in getattr(net, "feature_info", ())]
    if not names:
        raise ModelError(
            "this backbone does not tell its stages, so Grad-CAM has none to look at",
            hint="Use --method occlusion.",
        )
    sides: dict[str, int] = {}

    def note(name: str) -> Any:
        def hook(module: nn.Module, inputs: Any, seen: Tensor) -> None:
            sides[name] = _channels_first(model, seen).shape[-1]

        return hook

    handles = [net.get_submodule(name).register_forward_hook(note(name)) for name in names]
    try:
        model(images)
    finally:
        for handle in handles:
            handle.remove()
    seen = [name for name in names if name in sides]
    wide = [name for name in seen if sides[name] >= _LEAST_CELLS]
    name = wide[-1] if wide else max(seen, key=lambda n: sides[n])
    stage = net.get_submodule(name)
    # the last block of a ViT hands on its class token alone: its input is what has a gradient
    return getattr(stage, "norm1", stage)


def _channels_first(model: ExpressionModel, seen: Tensor) -> Tensor:
    """Feature maps of any family as (B, C, h, w); tokens that stand for no place are left out."""
    if seen.ndim == 3:
        side = math.isqrt(seen.shape[1])
        places = seen[:, seen.shape[1] - side * side :]
        return places.transpose(1, 2).unflatten(2, (side, side))
    if getattr(model.backbone.net, "output_fmt", "NCHW") == "NHWC":
        return seen.movedim(-1, 1)
    return seen
