"""A loss from a user's module takes part in training, by configuration alone."""

from __future__ import annotations

import sys

import pytest

from ke2nt.config.load import load_config
from ke2nt.errors import ConfigError
from ke2nt.training.train_recognizer import train

MODULE = """
from torch import nn

class NormLoss(nn.Module):
    def __init__(self, target=1.0):
        super().__init__()
        self.target = target

    def forward(self, output, labels, bank):
        return (output.embeddings.norm(dim=1) - self.target).square().mean()
"""


@pytest.fixture
def user_module(tmp_path, monkeypatch):
    (tmp_path / "my_losses.py").write_text(MODULE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    yield
    sys.modules.pop("my_losses", None)


def test_extra_loss_is_trained_and_logged(tiny, user_module):
    config = tiny("loss.extra={my_losses.NormLoss: {weight: 0.1, target: 2.0}}", "optim.epochs=2")
    result = train(config, quiet=True)
    first, last = (record["loss"] for record in result.progress.records)
    assert {"similarity", "NormLoss"} <= set(first)
    assert last["NormLoss"] < first["NormLoss"]
    stored = load_config(result.run.path / "config.yaml")
    assert stored.loss.extra == config.loss.extra
    assert stored.loss.extra["my_losses.NormLoss"].options() == {"target": 2.0}


@pytest.mark.parametrize("head", ["text", "linear"])
def test_extra_loss_with_attention_and_linear_heads(tiny, user_module, head):
    changes = ("loss.extra={my_losses.NormLoss: 0.1}", "model.attention=true", "optim.epochs=2")
    losses = train(tiny(*changes, f"model.head={head}"), quiet=True).progress.records[0]["loss"]
    assert {"similarity", "NormLoss", "stage_1"} <= set(losses)


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ("{NormLoss: 0.1}", "not of the form package.module.MyLoss"),
        ("{my_losses.NormLoss: -1}", "loss.extra.my_losses.NormLoss.weight"),
        ("{my_losses.NormLoss: {target: 1}}", "loss.extra.my_losses.NormLoss.weight"),
    ],
)
def test_invalid_extra_loss_is_refused(tiny, value, words):
    with pytest.raises(ConfigError, match=words):
        tiny(f"loss.extra={value}")
