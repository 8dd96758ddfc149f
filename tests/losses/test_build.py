"""The objective of a configuration: losses of other packages, and what is refused."""

from __future__ import annotations

import sys

import pytest
import torch

from ke2nt.config.schema import LossConfig
from ke2nt.errors import ConfigError, ModelError
from ke2nt.losses import KE2NTLoss, ObjectiveResult
from ke2nt.losses.build import build_objective

LABELS = torch.tensor([0, 1, 2, 3, 1, 0, 2])

MODULE = """
import torch
from torch import nn

class MarginLoss(nn.Module):
    def __init__(self, margin=1.0):
        super().__init__()
        self.margin = margin

    def forward(self, output, labels, bank):
        return self.margin * output.logits.square().mean()

class LearnedLoss(nn.Module):
    def __init__(self):
        super().__init__()
        self.scale = nn.Parameter(torch.ones(()))

class RowLoss(nn.Module):
    def forward(self, output, labels, bank):
        return output.logits.sum(dim=1)

class similarity(MarginLoss):
    pass

NoLoss = dict
"""


@pytest.fixture(autouse=True)
def user_module(tmp_path, monkeypatch):
    """A package of the user's in the current folder."""
    (tmp_path / "user_losses.py").write_text(MODULE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    yield
    sys.modules.pop("user_losses", None)


def build(**extra):
    entries = {f"user_losses.{name}": value for name, value in extra.items()}
    return build_objective(LossConfig.model_validate({"extra": entries}))


def test_an_added_loss_is_weighed_in_under_its_class_name(make_output, make_bank):
    output, bank = make_output(), make_bank()
    total, parts = build(MarginLoss={"weight": 0.5, "margin": 3.0})(output, LABELS, bank)
    expected, known = KE2NTLoss()(output, LABELS, bank)
    added = 3.0 * output.logits.square().mean()
    assert list(parts) == [*known, "MarginLoss"]
    assert torch.equal(parts["MarginLoss"], added)
    torch.testing.assert_close(total, expected + 0.5 * added)


def test_a_number_alone_is_the_weight_and_zero_leaves_the_loss_out(make_output, make_bank):
    assert build(MarginLoss=0.25).weights["MarginLoss"] == 0.25
    result = build(MarginLoss=0)(make_output(), LABELS, make_bank())
    assert isinstance(result, ObjectiveResult)
    assert "MarginLoss" not in result.parts


def test_an_added_loss_may_be_the_only_one(make_output, make_bank):
    config = {"similarity": 0, "transformation": 0, "self_contrast": 0}
    config["extra"] = {"user_losses.MarginLoss": 2}
    output = make_output()
    total, parts = build_objective(LossConfig.model_validate(config))(output, LABELS, None)
    assert list(parts) == ["MarginLoss"]
    assert torch.equal(total, 2 * output.logits.square().mean())


@pytest.mark.parametrize(
    ("extra", "words"),
    [
        ({"Missing": 1}, "cannot import the loss .*no attribute 'Missing'"),
        ({"MarginLoss": {"weight": 1, "margn": 2}}, "cannot build the loss.*margn"),
        ({"NoLoss": 1}, "is not a loss.*nn.Module.*dict"),
        ({"LearnedLoss": 1}, "trainable parameters"),
        ({"similarity": 1}, "two losses of the objective are named similarity"),
    ],
)
def test_invalid_losses_are_refused(extra, words):
    with pytest.raises(ConfigError, match=words):
        build(**extra)


def test_non_scalar_loss_is_refused(make_output, make_bank):
    with pytest.raises(ModelError, match=r"RowLoss does not return a scalar.*\(7,\)"):
        build(RowLoss=1)(make_output(), LABELS, make_bank())
