"""Convolutions on small feature maps as matrix products.

Worthwhile on CPUs in single precision with small faces: the last stages of a backbone then have
maps of 2x2 to 4x4. There a 3x3 kernel mostly meets padding, and the general routine spends its time
on that and on reordering the weights. Here each offset of the kernel meets only the part of the map
that it covers: one row of it at a time, (n · B, C) times (C, O) for the n positions in that row.
"""

from __future__ import annotations

from collections.abc import Iterator
from types import MethodType
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

__all__ = ["multiply_on_small_maps"]

_MAX_SIDE = 4
_MIN_CHANNELS = 64


def multiply_on_small_maps(model: nn.Module) -> None:
    """Let a model's convolutions compute small maps as matrix products, where that is faster.

    In place; parameters and saved files stay the same. Results differ by rounding. Layers with
    groups, dilation or few channels, other precisions and other devices are not changed.
    """
    for module in model.modules():
        if isinstance(module, nn.Conv2d) and _is_supported(module):
            module._conv_forward = MethodType(_conv_forward, module)  # type: ignore[method-assign]


def _is_supported(layer: nn.Conv2d) -> bool:
    return (
        type(layer).forward is nn.Conv2d.forward
        and min(layer.in_channels, layer.out_channels) >= _MIN_CHANNELS
        and layer.groups == 1
        and layer.dilation == (1, 1)
        and layer.padding_mode == "zeros"
        and not isinstance(layer.padding, str)
        and len({*layer.kernel_size}) == len({*layer.stride}) == len({*layer.padding}) == 1
    )


def _conv_forward(self: nn.Conv2d, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """Takes the place of `nn.Conv2d._conv_forward`."""
    stride, padding, kernel = self.stride[0], int(self.padding[0]), self.kernel_size[0]
    side = max(_output_side(n, kernel, stride, padding) for n in x.shape[2:])
    plain = x.device.type == "cpu" and x.dtype == weight.dtype == torch.float32
    if side > _MAX_SIDE or not plain or torch.is_autocast_enabled("cpu"):
        return nn.Conv2d._conv_forward(self, x, weight, bias)

    y: Tensor = _Convolve.apply(x, weight, stride, padding)
    return y if bias is None else y + bias.view(1, -1, 1, 1)


class _Convolve(torch.autograd.Function):
    """A convolution of (B, C, H, W) with a square kernel (O, C, k, k), zeros around the map."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, stride: int, padding: int) -> Tensor:
        ctx.save_for_backward(x, weight)
        ctx.geometry = stride, padding
        # (H, W, B, C) and (k, k, C, O)
        source, kernel = _positions_first(x), weight.permute(2, 3, 1, 0)
        height, width = (_output_side(n, weight.shape[-1], stride, padding) for n in x.shape[2:])

        output = x.new_zeros(height, width, len(x), len(weight))
        for piece in _pieces(output, source, weight, stride, padding):
            read = source[piece.source].flatten(0, 1)
            output[piece.output].flatten(0, 1).addmm_(read, kernel[piece.offset])
        return _images_first(output)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, Tensor | None, None, None]:
        x, weight = ctx.saved_tensors
        # (H, W, B, C), (H', W', B, O) and (k, k, O, C)
        source, grads = _positions_first(x), _positions_first(grad)
        kernel = weight.permute(2, 3, 0, 1)
        x_grad = torch.zeros_like(source) if ctx.needs_input_grad[0] else None
        weight_grad = None
        if ctx.needs_input_grad[1]:
            # (O, k, k, C)
            channels_last = weight.permute(0, 2, 3, 1)
            weight_grad = torch.zeros_like(channels_last, memory_format=torch.contiguous_format)

        for piece in _pieces(grads, source, weight, *ctx.geometry):
            part = grads[piece.output].flatten(0, 1)
            read = source[piece.source].flatten(0, 1)
            if weight_grad is not None:
                weight_grad[:, piece.offset[0], piece.offset[1]].addmm_(part.T, read)
            if x_grad is not None:
                target = x_grad[piece.source]
                target.add_((part @ kernel[piece.offset]).view_as(target))

        return (
            None if x_grad is None else _images_first(x_grad),
            None if weight_grad is None else weight_grad.permute(0, 3, 1, 2),
            None,
            None,
        )


class _Piece(NamedTuple):
    """One offset of the kernel, a row of the output that it reaches, and what it reads there."""

    offset: tuple[int, int]
    output: tuple[int, slice]
    source: tuple[int, slice]


def _pieces(
    output: Tensor, source: Tensor, weight: Tensor, stride: int, padding: int
) -> Iterator[_Piece]:
    """All pieces of a convolution between maps (H, W, B, channels)."""
    kernel = weight.shape[-1]
    for i in range(kernel):
        rows = range(*_reach(output.shape[0], source.shape[0], i - padding, stride))
        for j in range(kernel):
            # columns of the output, and those of the map that they read
            first, last = _reach(output.shape[1], source.shape[1], j - padding, stride)
            start, stop = first * stride + j - padding, (last - 1) * stride + j - padding + 1
            if first >= last:
                continue

            for row in rows:
                read = row * stride + i - padding, slice(start, stop, stride)
                yield _Piece((i, j), (row, slice(first, last)), read)


def _reach(outputs: int, sources: int, shift: int, stride: int) -> tuple[int, int]:
    """Range of the outputs o whose source, o · stride + shift, is on the map."""
    return max(0, -(shift // stride)), min(outputs, (sources - 1 - shift) // stride + 1)


def _output_side(side: int, kernel: int, stride: int, padding: int) -> int:
    return (side + 2 * padding - kernel) // stride + 1


def _positions_first(images: Tensor) -> Tensor:
    """(B, C, H, W) → (H, W, B, C)."""
    return images.permute(2, 3, 0, 1).contiguous()


def _images_first(positions: Tensor) -> Tensor:
    """(H, W, B, C) → (B, C, H, W), channels last in memory."""
    return positions.permute(2, 3, 0, 1).contiguous(memory_format=torch.channels_last)
