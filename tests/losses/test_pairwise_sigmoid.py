"""The pairwise sigmoid form of the similarity loss, against loops over all pairs."""

from __future__ import annotations

import dataclasses
import math

import pytest
import torch

from ke2nt.banks.text_bank import TextBank
from ke2nt.config.schema import LossConfig
from ke2nt.errors import ConfigError
from ke2nt.losses.build import build_objective
from ke2nt.losses.similarity import SimilarityLoss
from ke2nt.models.output import KE2NTOutput


def slow_loss(logits, labels, bias, smoothing):
    """Σ over pairs of −log of the probability of the right answer, image by image."""
    total = 0.0
    batch, classes = logits.shape
    for i in range(batch):
        for k in range(classes):
            share = labels[i][k] if labels.ndim == 2 else float(labels[i] == k)
            share = (1 - smoothing) * share + smoothing / classes
            yes = 1 / (1 + torch.exp(-(logits[i, k] + bias)))
            total = total - share * torch.log(yes) - (1 - share) * torch.log(1 - yes)
    return total / batch


def draw(soft):
    generator = torch.Generator().manual_seed(2)
    logits = 4 * torch.randn(5, 3, dtype=torch.float64, generator=generator)
    labels = torch.tensor([0, 2, 1, 1, 0])
    if soft:
        labels = torch.rand(5, 3, dtype=torch.float64, generator=generator)
        labels = labels / labels.sum(dim=1, keepdim=True)
    return logits.requires_grad_(), labels


def output_of(logits):
    return KE2NTOutput(logits, torch.zeros(len(logits), 4), None)


@pytest.mark.parametrize("soft", [False, True])
@pytest.mark.parametrize("smoothing", [0.0, 0.2])
def test_values_and_gradients(soft, smoothing):
    logits, labels = draw(soft)
    loss = SimilarityLoss(smoothing, form="sigmoid", bias=-1.5)(output_of(logits), labels)
    (gradient,) = torch.autograd.grad(loss, logits)
    expected = slow_loss(logits, labels, -1.5, smoothing)
    (expected_gradient,) = torch.autograd.grad(expected, logits)

    torch.testing.assert_close(loss, expected)
    torch.testing.assert_close(gradient, expected_gradient)


def test_gradcheck():
    logits, labels = draw(False)
    loss = SimilarityLoss(form="sigmoid", bias=0.5)
    assert torch.autograd.gradcheck(lambda x: loss(output_of(x), labels), logits)


def bank_of(bias):
    bank = TextBank.from_tensors(torch.eye(3), classes="abc", neutral_index=0, logit_scale=9.0)
    return dataclasses.replace(bank, provenance={"logit_bias": bias})


def test_the_bias_is_the_text_encoders():
    logits, labels = draw(False)
    loss = SimilarityLoss(form="sigmoid")
    found = loss(output_of(logits), labels, bank_of(-3.0))
    assert found.item() == pytest.approx(slow_loss(logits, labels, -3.0, 0).item())
    with pytest.raises(ConfigError, match=r"needs a bias.*similarity_bias"):
        loss(output_of(logits), labels, bank_of(None))


def test_confident_logits_stay_finite():
    logits = torch.tensor([[1e4, -1e4], [-1e4, 1e4]], requires_grad=True)
    loss = SimilarityLoss(form="sigmoid", bias=0.0)(output_of(logits), torch.tensor([0, 0]))
    loss.backward()
    assert math.isfinite(loss.item())
    assert logits.grad.isfinite().all()


def test_the_configuration_names_form_and_bias():
    objective = build_objective(LossConfig(similarity_form="sigmoid", similarity_bias=-2.0))
    assert objective.losses["similarity"].form == "sigmoid"
    assert objective.losses["similarity"].bias == -2.0


def test_wrong_options_are_refused():
    with pytest.raises(ConfigError, match=r"unknown form.*sigmoid"):
        SimilarityLoss(form="sigmoyd")
    with pytest.raises(ConfigError, match="belongs to the softmax"):
        SimilarityLoss(form="sigmoid", logit_adjustment=1.0, class_shares=(0.5, 0.5))
