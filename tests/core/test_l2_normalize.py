"""Unit vectors: values, zero vectors, and gradients where a norm vanishes."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional

from ke2nt.errors import ModelError
from ke2nt.runtime.l2_normalize import l2_normalize, l2_normalize_checked, l2_normalize_or_zero


@pytest.fixture
def vectors():
    generator = torch.Generator().manual_seed(5)
    return torch.randn(2, 3, 4, generator=generator, dtype=torch.float64)


@pytest.mark.parametrize(
    "normalize",
    [l2_normalize, lambda rows: l2_normalize_checked(rows, ModelError("")), l2_normalize_or_zero],
)
def test_all_variants_agree_bit_for_bit(vectors, normalize):
    for dtype in (torch.float32, torch.float64):
        rows = vectors.to(dtype)
        assert torch.equal(normalize(rows), functional.normalize(rows, dim=-1))


def test_a_zero_vector_stays_zero():
    zero = torch.zeros(1, 3)
    assert torch.equal(l2_normalize(zero), zero)
    assert torch.equal(l2_normalize_or_zero(zero), zero)


@pytest.mark.parametrize("value", [0.0, float("nan"), float("inf")])
def test_checked_refuses_vectors_without_a_direction(vectors, value):
    vectors[1, 2] = value
    with pytest.raises(ModelError, match="no direction"):
        l2_normalize_checked(vectors, ModelError("no direction"))


def test_gradient_of_a_vanishing_vector_is_zero():
    rows = torch.tensor([[0.0, 0.0], [1e-9, 0.0], [3.0, 4.0]], requires_grad=True)
    l2_normalize_or_zero(rows).sum().backward()
    assert torch.equal(rows.grad[:2], torch.zeros(2, 2))
    assert rows.grad[2].abs().sum() > 0


def test_first_and_second_derivatives(vectors):
    vectors.requires_grad_()
    assert torch.autograd.gradcheck(l2_normalize_or_zero, vectors)
    assert torch.autograd.gradgradcheck(l2_normalize_or_zero, vectors)
