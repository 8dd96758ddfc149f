"""The attribute loss against plain loops; labels that are missing."""

from __future__ import annotations

import math

import pytest
import torch

from ke2nt.errors import ModelError
from ke2nt.losses import AttributeLoss
from ke2nt.models.attribute_heads import AttributeOutput

LABELS = torch.tensor([[0, 2], [-1, 1], [1, -1], [0, 0]])


def make_logits():
    torch.manual_seed(0)
    shapes = {"gender": 2, "age": 3}
    return {
        name: torch.randn(4, values, dtype=torch.float64, requires_grad=True)
        for name, values in shapes.items()
    }


def test_value_and_gradient_match_plain_loops():
    logits = make_logits()
    total, parts = AttributeLoss()(AttributeOutput(logits), LABELS)
    total.backward()
    expected = {}
    for column, (name, rows) in enumerate(logits.items()):
        known = [i for i in range(4) if LABELS[i, column] >= 0]
        value, gradient = 0.0, [[0.0] * rows.shape[1] for _ in range(4)]
        for i in known:
            row = rows[i].tolist()
            log_sum = math.log(sum(map(math.exp, row)))
            value += (log_sum - row[LABELS[i, column]]) / len(known)
            for k, z in enumerate(row):
                hit = 1.0 if k == LABELS[i, column] else 0.0
                gradient[i][k] = (math.exp(z - log_sum) - hit) / len(known) / 2
        expected[name] = value
        torch.testing.assert_close(rows.grad, torch.tensor(gradient, dtype=torch.float64))
        assert parts[name].item() == pytest.approx(value)
    assert total.item() == pytest.approx(sum(expected.values()) / 2)


def test_gradcheck():
    logits = make_logits()

    def of(*rows):
        return AttributeLoss()(AttributeOutput(dict(zip(logits, rows, strict=True))), LABELS)[0]

    assert torch.autograd.gradcheck(of, tuple(logits.values()))


def test_missing_attribute_is_zero_with_zero_gradient():
    logits = make_logits()
    labels = torch.full((4, 2), -1)
    total, parts = AttributeLoss()(AttributeOutput(logits), labels)
    total.backward()
    assert total.item() == parts["age"].item() == 0
    assert all((rows.grad == 0).all() for rows in logits.values())


def test_mismatched_labels_are_refused():
    with pytest.raises(ModelError, match=r"int64 of shape \(4, 2\)"):
        AttributeLoss()(AttributeOutput(make_logits()), LABELS[:, :1])
