"""Batch normalizations of a model and the statistics that they keep."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

__all__ = ["batch_norms", "frozen_batch_norms", "keep_statistics"]


def batch_norms(model: nn.Module) -> list[_BatchNorm]:
    """The layers of a model that keep statistics of their input."""
    layers = [m for m in model.modules() if isinstance(m, _BatchNorm)]
    return [layer for layer in layers if layer.running_mean is not None]


def frozen_batch_norms(model: nn.Module) -> list[_BatchNorm]:
    """Those of `batch_norms` that have weights, of which none trains."""
    frozen = []
    for layer in batch_norms(model):
        trains = [parameter.requires_grad for parameter in layer.parameters()]
        if trains and not any(trains):
            frozen.append(layer)
    return frozen


@contextmanager
def keep_statistics(model: nn.Module) -> Iterator[None]:
    """Let batches be normalized by their own statistics without changing the stored ones."""
    stored = [(layer, dict(layer._buffers)) for layer in batch_norms(model)]

    # new tensors, as autograd would notice a change in place
    for layer, buffers in stored:
        for name, value in buffers.items():
            layer._buffers[name] = None if value is None else value.clone()

    try:
        yield
    finally:
        for layer, buffers in stored:
            layer._buffers.update(buffers)
