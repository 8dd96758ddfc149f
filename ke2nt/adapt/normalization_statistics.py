"""Normalization of another domain."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from ke2nt.data.tensors import FaceTensors
from ke2nt.errors import ModelError
from ke2nt.models.base import ExpressionModel
from ke2nt.models.norms import batch_norms

__all__ = ["norm_parameters", "recompute_statistics"]


def norm_parameters(model: nn.Module) -> list[nn.Parameter]:
    """Scales and shifts of all normalization layers, of batches, layers and groups."""
    kinds = (_BatchNorm, nn.LayerNorm, nn.GroupNorm)
    return [
        p
        for module in model.modules()
        if isinstance(module, kinds)
        for p in module.parameters(recurse=False)
    ]


@torch.no_grad()
def recompute_statistics(
    model: ExpressionModel, images: FaceTensors, *, batch_size: int = 128
) -> None:
    """Replace the kept statistics by those of some images: AdaBN (https://arxiv.org/abs/1603.04779).

    The mean over batches of equal size; the model ends in evaluation mode.

    Args:
        model: Changed in place.
        images: Unlabeled images in the model's size.
        batch_size: Images a forward pass; fewer where there are fewer.

    Raises:
        ModelError: The model has no batch normalization.
    """
    layers = batch_norms(model)
    if not layers:
        raise ModelError(
            "the model keeps no statistics of its input that could be replaced",
            expected="a backbone with batch normalization, such as a ResNet",
            found=model.architecture.get("backbone"),
            hint="adapt.method=entropy works with other normalizations, too.",
        )
    device = next(model.parameters()).device
    momenta = [layer.momentum for layer in layers]
    model.eval()
    for layer in layers:
        layer.reset_running_stats()
        layer.momentum, layer.training = None, True  # the plain mean over batches
    try:
        for batch in images.batches(min(batch_size, len(images.usable)), drop_last=True):
            model(model.preprocessing.normalize(batch.pixels.to(device)))
    finally:
        for layer, momentum in zip(layers, momenta, strict=True):
            layer.momentum, layer.training = momentum, False
