"""Synchronized batch normalization in one process: values, gradients and averages of torch."""

from __future__ import annotations

import copy

import pytest
import torch
from timm.layers import BatchNormAct2d
from torch import nn

from ke2nt.training.batch_norm import synchronize_batch_norm


@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("make", [nn.BatchNorm2d, BatchNormAct2d])
def test_single_process_equals_torch(make, memory_format):
    torch.manual_seed(0)
    ours = make(5)
    nn.init.normal_(ours.weight)
    nn.init.normal_(ours.bias)
    theirs = copy.deepcopy(ours)
    synchronize_batch_norm(ours)
    for _ in range(2):
        x = (3 + 2 * torch.randn(6, 5, 4, 3)).to(memory_format=memory_format)
        inputs = [x.clone().requires_grad_() for _ in range(2)]
        outputs = [layer(value) for layer, value in zip((ours, theirs), inputs, strict=True)]
        target = torch.randn_like(x)
        for output in outputs:
            (output * target).sum().backward()
        torch.testing.assert_close(*outputs)
        torch.testing.assert_close(inputs[0].grad, inputs[1].grad, atol=1e-4, rtol=1e-4)
        torch.testing.assert_close(ours.weight.grad, theirs.weight.grad, atol=1e-4, rtol=1e-4)
        torch.testing.assert_close(ours.bias.grad, theirs.bias.grad)
    torch.testing.assert_close(ours.state_dict(), theirs.state_dict())
    torch.testing.assert_close(ours.eval()(x), theirs.eval()(x))


@pytest.mark.parametrize("momentum", [None, 0.0, 0.3])
def test_momentum_equals_torch(momentum):
    torch.manual_seed(0)
    ours = nn.BatchNorm2d(4, momentum=momentum)
    theirs = copy.deepcopy(ours)
    synchronize_batch_norm(ours)
    for _ in range(3):
        x = 5 * torch.randn(6, 4, 3, 3)
        ours(x), theirs(x)
    torch.testing.assert_close(ours.state_dict(), theirs.state_dict())


def test_half_precision_keeps_statistics_in_single():
    torch.manual_seed(0)
    layer = nn.BatchNorm2d(4)
    other = copy.deepcopy(layer)
    synchronize_batch_norm(layer)
    x = torch.randn(8, 4, 5, 5).bfloat16()
    inputs = [x.clone().requires_grad_() for _ in range(2)]
    outputs = [m(v) for m, v in zip((layer, other), inputs, strict=True)]
    for output in outputs:
        output.square().sum().backward()
    assert outputs[0].dtype == torch.bfloat16
    torch.testing.assert_close(*outputs, atol=0.02, rtol=0.02)
    torch.testing.assert_close(inputs[0].grad, inputs[1].grad, atol=0.1, rtol=0.1)
    torch.testing.assert_close(layer.state_dict(), other.state_dict(), atol=1e-5, rtol=1e-5)
