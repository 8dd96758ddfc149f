"""Distillation equals a loop over Hinton's formula, in value and gradient."""

from __future__ import annotations

import math

import pytest
import torch
from torch.nn import functional

from ke2nt.errors import ConfigError, ModelError
from ke2nt.losses.distillation import DistillationLoss

ROWS, CLASSES = 6, 4


def draw(seed):
    generator = torch.Generator().manual_seed(seed)
    return 5 * torch.randn(ROWS, CLASSES, generator=generator, dtype=torch.float64)


def softmax(row, temperature):
    powers = [math.exp(value / temperature) for value in row]
    return [power / math.fsum(powers) for power in powers]


def oracle(student, teacher, temperature):
    """T² Σ p log(p / q) / B, and its derivative T (q − p) / B by the student's logits."""
    total, gradient = 0.0, []
    for z, t in zip(student, teacher, strict=True):
        q, p = softmax(z, temperature), softmax(t, temperature)
        total += math.fsum(a * math.log(a / b) for a, b in zip(p, q, strict=True))
        gradient.append([temperature * (b - a) / len(student) for a, b in zip(p, q, strict=True)])
    return temperature**2 * total / len(student), gradient


@pytest.mark.parametrize("temperature", [1.0, 2.5])
def test_value_and_gradient_equal_the_oracle(temperature):
    student, teacher = draw(1).requires_grad_(), draw(2).requires_grad_()
    loss = DistillationLoss(temperature)(student, teacher)
    loss.backward()
    value, gradient = oracle(student.tolist(), teacher.tolist(), temperature)
    torch.testing.assert_close(loss.item(), value, rtol=1e-10, atol=1e-10)
    torch.testing.assert_close(
        student.grad, torch.tensor(gradient, dtype=torch.float64), rtol=1e-10, atol=1e-10
    )
    assert teacher.grad is None


def test_same_logits_cost_nothing():
    student = draw(1).requires_grad_()
    loss = DistillationLoss(3.0)(student, student.detach() + 7)  # a constant changes no softmax
    loss.backward()
    assert abs(loss.item()) < 1e-12
    assert student.grad.abs().max() < 1e-12


def test_gradient_is_that_of_the_cross_entropy_with_soft_labels():
    first, second = draw(1).requires_grad_(), draw(1).requires_grad_()
    DistillationLoss(1.0)(first, draw(2)).backward()
    functional.cross_entropy(second, draw(2).softmax(dim=1)).backward()
    torch.testing.assert_close(first.grad, second.grad)


def test_half_precision_is_computed_in_float32():
    loss = DistillationLoss()(draw(1).bfloat16(), draw(2).bfloat16())
    assert loss.dtype == torch.float32


@pytest.mark.parametrize("temperature", [0.0, -1.0, math.inf, math.nan])
def test_temperature_out_of_range_is_refused(temperature):
    with pytest.raises(ConfigError, match="temperature"):
        DistillationLoss(temperature)


def test_other_shapes_are_refused():
    with pytest.raises(ModelError, match="differ in shape"):
        DistillationLoss()(draw(1), draw(2)[:, :3])
