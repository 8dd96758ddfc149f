"""Normalization layers in another domain: their parameters."""

from __future__ import annotations

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

__all__ = ["normalization_parameters"]


def normalization_parameters(model: nn.Module) -> list[nn.Parameter]:
    """Return scales and shifts of all batch, layer and group normalizations."""
    layer_types = (_BatchNorm, nn.LayerNorm, nn.GroupNorm)
    return [
        p
        for module in model.modules()
        if isinstance(module, layer_types)
        for p in module.parameters(recurse=False)
    ]
