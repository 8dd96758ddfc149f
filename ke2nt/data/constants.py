"""Numbers that every batch is computed with, copied to a device once."""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["device_constant"]

_KEPT: dict[tuple[tuple[float, ...], torch.device], Tensor] = {}


def device_constant(values: tuple[float, ...], like: Tensor) -> Tensor:
    """Values as float32 (N,) on the device of another tensor.

    A copy is waited for, and cannot be recorded in a CUDA graph. While a model is traced (as for
    ONNX), nothing is kept, for its tensors have no values.

    Args:
        values: The values.
        like: What they are computed with.
    """
    key = values, like.device
    if type(like) is not Tensor:
        return torch.tensor(values, device=like.device)
    if key not in _KEPT:
        with torch.inference_mode(False):  # an inference tensor could not be trained with later
            made = torch.tensor(values, device=like.device)
        if type(made) is not Tensor:
            return made
        _KEPT[key] = made
    return _KEPT[key]
