"""Batch normalization over the images of all processes (`optim.sync_batch_norm`).

With it, a global batch gives the same result however many processes share it, except that dropout
draws, and mixup and CutMix pair images, within each process's share. It costs two waits for the
other processes in each layer; large shares of a batch do without. torch's own `SyncBatchNorm` runs
on GPUs alone.
"""

from __future__ import annotations

from types import MethodType
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from ke2nt.models.batch_norms import batch_norms
from ke2nt.runtime.distributed import average, sum_over_processes, world_size

__all__ = ["average_statistics", "synchronize_batch_norm"]


def synchronize_batch_norm(model: nn.Module) -> None:
    """Let every batch normalization of a model use the global batch while it trains.

    In place; parameters, buffers and saved files stay the same. Layers without a weight, and those
    in evaluation mode, are not changed.
    """
    for module in model.modules():
        if isinstance(module, _BatchNorm) and module.weight is not None:
            module.forward = MethodType(_forward, module)  # type: ignore[method-assign]


def average_statistics(*models: nn.Module) -> None:
    """Replace the running statistics by their mean over the processes, in place.

    For processes that normalize by their own images, so that all evaluate and save the same model.
    """
    if world_size() == 1:
        return
    layers = [layer for model in models for layer in batch_norms(model)]
    statistics = [value for layer in layers for value in (layer.running_mean, layer.running_var)]
    average([value for value in statistics if value is not None])


def _forward(self: _BatchNorm, x: Tensor) -> Tensor:
    """Takes the place of a layer's `forward`."""
    if not self.training:
        return type(self).forward(self, x)
    y, mean, variance = _Normalize.apply(x, self.weight, self.bias, self.eps)

    if self.running_mean is not None and self.running_var is not None:
        assert self.num_batches_tracked is not None
        self.num_batches_tracked.add_(1)
        # without a momentum, torch keeps the mean over all batches
        share = self.momentum
        if share is None:
            share = 1.0 / float(self.num_batches_tracked)
        self.running_mean.lerp_(mean, share)
        self.running_var.lerp_(variance, share)

    # timm's norm layers hold the activation that follows them
    for name in ("drop", "act"):
        part = getattr(self, name, None)
        y = y if part is None else part(y)
    return y


class _Normalize(torch.autograd.Function):
    """Normalize by the mean and variance of the global batch; torch's kernels do the passes."""

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, eps: float
    ) -> tuple[Tensor, Tensor, Tensor]:
        # (C,) statistics of this process's images
        count = x.numel() / x.shape[1]
        _, mean, inverse = torch.native_batch_norm(x, weight, bias, None, None, True, 0.0, eps)
        mean, inverse = mean.double(), inverse.double()
        square = inverse.pow(-2) - eps + mean.square()

        # those of the global batch, from sums of x, x² and 1
        sums = sum_over_processes(torch.stack([mean, square, torch.ones_like(mean)]) * count)
        total = sums[2]
        mean, square = sums[0] / total, sums[1] / total
        variance = (square - mean.square()).clamp(min=0.0)
        mean, variance = mean.float(), variance.float()

        y, _, _ = torch.native_batch_norm(x, weight, bias, mean, variance, False, 0.0, eps)
        ctx.save_for_backward(x, weight, mean, (variance + eps).rsqrt(), total.float())
        ctx.eps = eps
        unbiased = variance * (total / (total - 1).clamp(min=1.0)).float()
        ctx.mark_non_differentiable(mean, unbiased)
        return y, mean, unbiased

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, Tensor, Tensor, None]:
        x, weight, mean, inverse, total = ctx.saved_tensors
        grad = torch.empty_like(x).copy_(grads[0])
        _, weight_grad, bias_grad = torch.ops.aten.native_batch_norm_backward(
            grad, x, weight, None, None, mean, inverse, True, ctx.eps, [False, True, True]
        )
        by_weight, by_bias = sum_over_processes(torch.stack([weight_grad, bias_grad])) / total

        # w/σ (g − mean(g) − x̂ mean(g x̂)), as one affine function of x and one of g
        scale = weight * inverse
        slope = -scale * inverse * by_weight
        offset = -scale * by_bias - slope * mean
        shape = (1, -1) + (1,) * (x.ndim - 2)
        x_grad = torch.addcmul(offset.view(shape), x, slope.view(shape))
        x_grad = x_grad.addcmul_(grad, scale.view(shape))
        return x_grad.to(x.dtype), weight_grad, bias_grad, None
