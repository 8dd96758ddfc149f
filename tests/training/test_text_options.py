"""Runs with custom and arranged banks, labels smoothed by text, and a growing logit scale."""

from __future__ import annotations

import json

import pytest
import torch

from ke2nt.banks.text_bank import TextBank
from ke2nt.config.schema import TextConfig
from ke2nt.errors import CheckpointError, ModelError
from ke2nt.evaluation.image_encoders import get_image_encoder
from ke2nt.models.load import load_model
from ke2nt.training.recognition_task import logit_scale_factor
from ke2nt.training.train_recognizer import train


def test_custom_text_bank(tiny, tmp_path):
    rows = torch.randn(4, 10, generator=torch.Generator().manual_seed(0))
    own = TextBank.from_tensors(
        rows,
        classes=("fear", "anger", "happiness", "neutral"),
        neutral_index=3,
        logit_scale=5.0,
    )
    own.save(tmp_path / "bank")
    run = train(tiny(f"text.bank={tmp_path / 'bank'}"), quiet=True).run
    model = load_model(run.model)
    assert model.classes == ("neutral", "happiness", "anger")
    assert torch.equal(model.bank.raw, rows[[3, 2, 1]])
    with pytest.raises(ModelError, match="does not say which text encoder"):
        get_image_encoder(f"run:{run.path}")


def test_missing_text_bank_is_named(tiny, tmp_path):
    with pytest.raises(CheckpointError, match=r"text bank is missing.*nothing"):
        train(tiny(f"text.bank={tmp_path / 'nothing'}"), quiet=True)


def test_whitened_bank_is_saved_and_refuses_other_prompts(tiny):
    run = train(tiny("text.geometry=whitened", "loss.text_smoothing=0.1"), quiet=True).run
    bank = load_model(run.model).bank
    torch.testing.assert_close(bank.embeddings @ bank.embeddings.T, torch.eye(3))
    with pytest.raises(ModelError, match="were whitened"):
        get_image_encoder(f"run:{run.path}")


def test_logit_scale_grows_by_an_equal_factor_each_step():
    config = TextConfig(logit_scale=20, logit_scale_start=5, logit_scale_epochs=2)
    factors = [logit_scale_factor(step, 4, config, 20.0) for step in range(10)]
    expected = [5 ** (1 - s / 8) * 20 ** (s / 8) / 20 for s in range(8)]
    assert factors == pytest.approx([*expected, 1.0, 1.0])
    assert logit_scale_factor(0, 4, TextConfig(), 20.0) == 1.0


def test_growing_logit_scale_changes_the_loss_until_it_is_reached(tiny):
    shared = ("optim.lr=1e-9", "optim.warmup_lr=0", "optim.warmup_epochs=0", "optim.ema=null")
    logs = []
    for out, changes in (("plain", ()), ("climbs", ("text.logit_scale_start=0.001",))):
        options = ("text.logit_scale_epochs=2", *shared, *changes)
        path = train(tiny(*options, out=out), quiet=True).run.path / "log.jsonl"
        records = map(json.loads, path.read_text().splitlines())
        logs.append([r["loss"]["similarity"] for r in records])
    plain, climbs = logs
    assert climbs[0] == pytest.approx(torch.tensor(3.0).log().item(), rel=1e-3)
    assert climbs[0] != pytest.approx(plain[0], rel=1e-3)
    assert climbs[2] == pytest.approx(plain[2], rel=1e-5)
