"""The logit adjustment of the similarity loss, against loops over the formula."""

from __future__ import annotations

import math

import loss_oracles as oracle
import pytest
import torch

from ke2nt.config.attention import AttentionConfig
from ke2nt.config.schema import LossConfig
from ke2nt.errors import ConfigError, ModelError
from ke2nt.losses.build import build_objective
from ke2nt.losses.objective import KE2NTLoss
from ke2nt.losses.similarity import SimilarityLoss

SHARES = (0.5, 0.25, 0.125, 0.125)
LABELS = [0, 1, 2, 3, 1, 0, 2]


@pytest.mark.parametrize(("strength", "label"), [(1.0, 0.0), (0.4, 0.1), (2.0, 0.0)])
@pytest.mark.parametrize("soft", [False, True])
def test_values_and_gradients(make_output, soft, strength, label):
    output = make_output()
    target, labels = oracle.one_hot(LABELS, 4), torch.tensor(LABELS)
    if soft:
        labels = torch.rand(7, 4, dtype=torch.float64)
        labels /= labels.sum(dim=1, keepdim=True)
        target = labels.tolist()
    loss = SimilarityLoss(label, logit_adjustment=strength, class_shares=SHARES)
    found = loss(output, labels)
    found.backward()

    adjusted = [
        [z + strength * math.log(share) for z, share in zip(row, SHARES, strict=True)]
        for row in output.logits.tolist()
    ]
    value, gradient = oracle.similarity(adjusted, target, label)
    # the offsets are stored in float32
    assert found.item() == pytest.approx(value, rel=1e-6)
    expected = torch.tensor(gradient, dtype=torch.float64)
    torch.testing.assert_close(output.logits.grad, expected, rtol=1e-6, atol=1e-7)


def test_counts_are_shares_and_even_shares_change_nothing(make_output):
    output, labels = make_output(), torch.tensor(LABELS)

    def value(**options):
        return SimilarityLoss(**options)(output, labels).item()

    counts = [40, 20, 10, 10]
    assert value(logit_adjustment=1, class_shares=counts) == value(
        logit_adjustment=1, class_shares=SHARES
    )
    even = value(logit_adjustment=1, class_shares=(1, 1, 1, 1))
    assert even == pytest.approx(value(), rel=1e-6)


def test_logits_of_the_optimum_carry_what_the_adjustment_leaves():
    """With one face of unknown class, the best logits are (1 − α) log π."""
    logits = torch.zeros(1, 4, dtype=torch.float64, requires_grad=True)
    shares = torch.tensor([SHARES], dtype=torch.float64)
    for strength in (0.0, 0.5, 1.0):
        best = (1 - strength) * shares.log()
        loss = SimilarityLoss(logit_adjustment=strength, class_shares=SHARES)

        class Output:
            pass

        output = Output()
        output.logits = (best + logits).detach().requires_grad_()
        loss(output, shares).backward()
        assert output.logits.grad.abs().max() < 1e-7


def test_reaches_the_objective_and_those_of_the_stages(make_output, make_bank):
    output, bank, labels = make_output(), make_bank(), torch.tensor(LABELS)
    config = LossConfig(logit_adjustment=1.0)
    plain = KE2NTLoss()(output, labels, bank)[1]
    adjusted = build_objective(config, class_shares=SHARES)(output, labels, bank)[1]
    assert adjusted["similarity"] != plain["similarity"]
    assert adjusted["transformation"] == plain["transformation"]

    deep = build_objective(config, AttentionConfig(), class_shares=SHARES)
    offsets = deep.stage_loss.losses["similarity"].offsets
    torch.testing.assert_close(offsets, torch.tensor(SHARES).log())
    assert not deep.state_dict()


def test_wrong_values(make_output):
    with pytest.raises(ConfigError, match="class shares"):
        build_objective(LossConfig(logit_adjustment=1.0))
    with pytest.raises(ConfigError, match="above 0 for each class"):
        SimilarityLoss(logit_adjustment=1.0, class_shares=(1.0, 0.0))
    with pytest.raises(ConfigError, match="logit_adjustment is out of range"):
        SimilarityLoss(logit_adjustment=-1.0)
    loss = SimilarityLoss(logit_adjustment=1.0, class_shares=(0.5, 0.5))
    with pytest.raises(ModelError, match=r"do not fit the logits.*4 classes"):
        loss(make_output(), torch.tensor(LABELS))
