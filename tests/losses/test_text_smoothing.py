"""Labels smoothed by text, against loops over the formula."""

from __future__ import annotations

import math

import loss_oracles as oracle
import pytest
import torch

from ke2nt.errors import ConfigError, ModelError
from ke2nt.losses.objective import KE2NTLoss
from ke2nt.losses.similarity import SimilarityLoss


def smoothed(target, texts, share, temperature):
    """(1 − ε) p + ε Σ_y p_y softmax_k(cos(t_y, t_k) / τ)."""
    rows = []
    for shares in target:
        row = [(1 - share) * p for p in shares]
        for y, p in enumerate(shares):
            heights = [math.exp(oracle.cosine(texts[y], t)[0] / temperature) for t in texts]
            for k, height in enumerate(heights):
                row[k] += share * p * height / math.fsum(heights)
        rows.append(row)
    return rows


@pytest.mark.parametrize("soft", [False, True])
@pytest.mark.parametrize(("share", "temperature", "label"), [(0.3, 0.1, 0.0), (0.8, 2.0, 0.1)])
def test_values_and_gradients(make_output, make_bank, soft, share, temperature, label):
    output, bank = make_output(), make_bank()
    if soft:
        labels = torch.rand(7, 4, dtype=torch.float64)
        labels /= labels.sum(dim=1, keepdim=True)
        target = labels.tolist()
    else:
        labels = torch.tensor([0, 1, 2, 3, 1, 0, 2])
        target = oracle.one_hot(labels.tolist(), 4)
    loss = SimilarityLoss(label, text_smoothing=share, text_temperature=temperature)
    found = loss(output, labels, bank)
    found.backward()
    expected = smoothed(target, bank.raw.tolist(), share, temperature)
    value, gradient = oracle.similarity(output.logits.tolist(), expected, label)
    assert found.item() == pytest.approx(value, rel=1e-12)
    torch.testing.assert_close(output.logits.grad, torch.tensor(gradient, dtype=torch.float64))


def test_near_texts_get_more_than_far_ones_and_the_class_itself_most(make_bank):
    bank = make_bank()
    loss = SimilarityLoss(text_smoothing=0.5)
    logits = torch.zeros(1, 4, dtype=torch.float64)
    (target,) = loss._smooth_by_text(torch.tensor([2]), bank, logits)
    near = (bank.embeddings @ bank.embeddings[2]).argsort(descending=True)
    assert near[0] == 2
    assert (target[near].diff() < 0).all()
    assert target.sum().item() == pytest.approx(1)


def test_smoothing_reaches_the_objective(make_output, make_bank):
    output, bank, labels = make_output(), make_bank(), torch.tensor([0, 1, 2, 3, 1, 0, 2])
    plain = KE2NTLoss()(output, labels, bank)[1]
    soft = KE2NTLoss(text_smoothing=0.2)(output, labels, bank)[1]
    assert soft["similarity"] != plain["similarity"]
    assert soft["transformation"] == plain["transformation"]


def test_linear_heads_cannot_smooth_by_text(make_output):
    with pytest.raises(ModelError, match="text_smoothing"):
        SimilarityLoss(text_smoothing=0.1)(make_output(), torch.zeros(7, dtype=torch.int64), None)


@pytest.mark.parametrize(
    "options", [{"text_smoothing": 1.0}, {"text_smoothing": -0.1}, {"text_temperature": 0.0}]
)
def test_values_out_of_range(options):
    with pytest.raises(ConfigError, match=f"{next(iter(options))} is out of range"):
        SimilarityLoss(**options)
