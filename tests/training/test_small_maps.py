"""Convolutions as matrix products: values and gradients of torch, only on supported layers."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from ke2nt.training.speed import small_maps
from ke2nt.training.speed.small_maps import multiply_on_small_maps


@pytest.fixture
def used(monkeypatch):
    """Count how often matrix products replaced a convolution."""
    calls = []
    real = small_maps._Convolve.apply

    def counted(*args):
        calls.append(args)
        return real(*args)

    monkeypatch.setattr(small_maps._Convolve, "apply", counted)
    return calls


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize(
    ("kernel", "stride", "padding"),
    [(3, 1, 1), (3, 2, 1), (1, 1, 0), (1, 2, 0), (3, 1, 0), (5, 1, 2), (5, 3, 2), (3, 2, 2)],
)
@pytest.mark.parametrize("shape", [(1, 1), (2, 2), (3, 4), (4, 3)])
def test_values_and_gradients_equal_torch(used, shape, kernel, stride, padding, bias):
    if min(shape) + 2 * padding < kernel:
        return
    torch.manual_seed(0)
    theirs = nn.Conv2d(64, 96, kernel, stride, padding, bias=bias)
    ours = copy.deepcopy(theirs).to(memory_format=torch.channels_last)
    multiply_on_small_maps(ours)
    x = torch.randn(5, 64, *shape)
    inputs = [x.clone().requires_grad_(), x.clone().requires_grad_()]
    outputs = [layer(value) for layer, value in zip((ours, theirs), inputs, strict=True)]
    target = torch.randn_like(outputs[1])
    for output in outputs:
        (output * target).sum().backward()
    assert len(used) == 1
    torch.testing.assert_close(*outputs, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(inputs[0].grad, inputs[1].grad, atol=1e-4, rtol=1e-4)
    for mine, other in zip(ours.parameters(), theirs.parameters(), strict=True):
        torch.testing.assert_close(mine.grad, other.grad, atol=1e-3, rtol=1e-4)


def test_gradients_in_double_precision():
    x = torch.randn(2, 3, 3, 2, dtype=torch.float64, requires_grad=True)
    weight = torch.randn(4, 3, 3, 3, dtype=torch.float64, requires_grad=True)
    for stride in (1, 2):
        assert torch.autograd.gradcheck(
            lambda a, b, s=stride: small_maps._Convolve.apply(a, b, s, 1), (x, weight)
        )


def test_frozen_weights_get_no_gradient(used):
    layer = nn.Conv2d(64, 64, 3, padding=1).requires_grad_(False)
    multiply_on_small_maps(layer)
    x = torch.randn(2, 64, 3, 3, requires_grad=True)
    y = layer(x)
    grads = y.grad_fn.next_functions[0][0].apply(torch.ones(2, 64, 3, 3))
    assert grads[0] is not None
    assert grads[1] is None
    assert len(used) == 1


def test_copied_layer_uses_its_own_weights(used):
    layer = nn.Conv2d(64, 64, 3, padding=1)
    multiply_on_small_maps(layer)
    other = copy.deepcopy(layer)
    nn.init.zeros_(other.weight)
    nn.init.zeros_(other.bias)
    x = torch.randn(2, 64, 2, 2)
    assert bool((other(x) == 0).all())
    assert bool((layer(x) != 0).any())
    assert len(used) == 2


@pytest.mark.parametrize(
    "layer",
    [
        nn.Conv2d(64, 64, 3, padding=1, groups=64),
        nn.Conv2d(64, 64, 3, padding=2, dilation=2),
        nn.Conv2d(64, 64, 3, padding=1, padding_mode="reflect"),
        nn.Conv2d(64, 64, 3, padding="same"),
        nn.Conv2d(64, 64, (3, 1), padding=(1, 0)),
        nn.Conv2d(16, 64, 3, padding=1),
    ],
)
def test_unsupported_layers_are_unchanged(used, layer):
    x = torch.randn(2, layer.in_channels, 3, 3)
    expected = layer(x)
    multiply_on_small_maps(layer)
    assert torch.equal(layer(x), expected)
    assert not used


def test_larger_maps_and_half_precision_are_unchanged(used):
    layer = nn.Conv2d(64, 64, 3, padding=1)
    multiply_on_small_maps(layer)
    layer(torch.randn(1, 64, 5, 5))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert layer(torch.randn(1, 64, 2, 2)).dtype == torch.bfloat16
    layer.double()(torch.randn(1, 64, 2, 2, dtype=torch.float64))
    assert not used
