"""Constants of batch computations, copied to a device once."""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["device_constant"]

# (values, device) → tensor
_CACHE: dict[tuple[tuple[float, ...], torch.device], Tensor] = {}


def device_constant(values: tuple[float, ...], like: Tensor) -> Tensor:
    """Values as float32 (N,) on the device of another tensor.

    A copy to a device makes the CPU wait, and cannot be recorded in a CUDA graph, so each constant
    is copied once. Nothing is cached while a model is traced (as for ONNX): such tensors have no
    values.

    Args:
        values: The values.
        like: A tensor that they are used with.
    """
    key = values, like.device
    if type(like) is not Tensor:
        return torch.tensor(values, device=like.device)

    if key not in _CACHE:
        # an inference tensor could not be used in training later
        with torch.inference_mode(False):
            constant = torch.tensor(values, device=like.device)
        if type(constant) is not Tensor:
            return constant
        _CACHE[key] = constant
    return _CACHE[key]
