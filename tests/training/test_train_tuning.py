"""Training runs of a part of the model, and with gradient checkpointing."""

from __future__ import annotations

import json
from collections import Counter

import pytest
import torch
from training_runs import assert_same_run, prepared, state

from ke2nt.config.unused_keys import check_override_keys
from ke2nt.errors import ConfigError, ModelError
from ke2nt.models.layer_groups import find_layer_groups
from ke2nt.models.load import load_model
from ke2nt.models.lora import is_lora_parameter
from ke2nt.training.interrupts import TrainingStopped
from ke2nt.training.progress import Progress
from ke2nt.training.run_directory import RunDirectory
from ke2nt.training.train_recognizer import train

LORA = ("model.tune=lora", "model.lora={rank: 2, dropout: 0.1}", "optim.ema=0.9", "optim.epochs=2")


def test_lora_run_resumes_exactly_and_saves_an_ordinary_model(tiny, monkeypatch, capsys):
    config = tiny(*LORA, out="whole")
    whole = train(config, page=False).run
    assert "model.tune=lora; the others stay random" in capsys.readouterr().err

    stop_after_first_epoch(monkeypatch)
    with pytest.raises(TrainingStopped):
        train(tiny(*LORA, out="cut"), quiet=True, page=False)
    monkeypatch.undo()
    cut = RunDirectory(tiny(out="cut").out)
    train(cut.load_config(), resume=True, quiet=True, page=False)
    assert_same_run(whole, cut)

    # checkpoint and average hold the low-rank factors, the saved model does not
    names = state(whole)
    assert any(is_lora_parameter(name) for name in names if name.startswith("ema."))
    model = load_model(whole.path)
    assert not any(is_lora_parameter(name) for name, _ in model.named_parameters())
    assert model.architecture["backbone"] == "test_resnet"

    # run and card say what trained
    facts = json.loads((whole.path / "run.json").read_text())["parameters"]
    assert facts["tune"] == "lora"
    assert 0 < facts["trained"] < facts["total"]
    assert "model.tune=lora" in (whole.model / "README.md").read_text()
    assert model.card["parameters"] == facts


def stop_after_first_epoch(monkeypatch) -> None:
    from ke2nt.training.engine import Engine

    run_epoch = Engine._run_epoch

    def stopping(self, progress):
        progress = run_epoch(self, progress)
        raise TrainingStopped

    monkeypatch.setattr(Engine, "_run_epoch", stopping)


def count_calls(net) -> Counter:
    """Count how often the first normalization of each block computes."""
    calls: Counter = Counter()
    for name in find_layer_groups(net).blocks:
        block = net.get_submodule(name)
        layer = block.norm1 if hasattr(block, "norm1") else block.bn1
        layer.register_forward_pre_hook(lambda *_, name=name: calls.update([name]))
    return calls


@pytest.mark.parametrize("backbone", ["test_resnet", "test_vit"])
def test_checkpointing_changes_no_gradient_and_no_statistic(tiny, backbone):
    options = (f"model.backbone={backbone}", "model.dropout=0.3")
    if backbone == "test_vit":
        options += ("model.backbone_options={patch_size: 8, proj_drop_rate: 0.2}",)
    states = []
    for checkpointing in ("false", "true"):
        torch.manual_seed(0)
        engine = prepared(tiny(*options, f"model.gradient_checkpointing={checkpointing}"))
        engine.task.state.train()
        batch = next(iter(engine.batches.read(engine.batches.order(0))))
        model = engine.task.state.model
        calls = count_calls(model.backbone.net)
        engine.train_step(batch, Progress())
        assert set(calls.values()) == {2 if checkpointing == "true" else 1}
        gradients = {n: p.grad for n, p in model.named_parameters() if p.grad is not None}
        states.append(({**gradients}, model.state_dict()))
    for first, second in zip(*states, strict=True):
        assert first.keys() == second.keys()
        for name, value in first.items():
            torch.testing.assert_close(value, second[name], rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("model.tune=last:0", "not one of full, head, norms, lora and last:N"),
        ("model.tune=some", "not one of full, head, norms, lora and last:N"),
        ("model.lora={targets: []}", "targets"),
    ],
)
def test_impossible_settings_are_refused(tiny, change, message):
    with pytest.raises(ConfigError, match=message):
        tiny(change)


def test_low_rank_options_need_lora(tiny):
    with pytest.raises(ConfigError, match=r"only model\.tune=lora has low-rank changes"):
        check_override_keys("train", tiny("model.lora.rank=4"), ["model.lora.rank=4"])
    check_override_keys("train", tiny("model.tune=lora"), ["model.lora.rank=4"])


def test_options_that_exclude_each_other_are_refused(tiny):
    with pytest.raises(ConfigError, match="cannot be combined with compile=true"):
        tiny("model.gradient_checkpointing=true", "compile=true")
    with pytest.raises(ConfigError, match=r"model.tune=head cannot be combined with the section"):
        tiny("model.tune=head", "pretrain={attributes: [gender]}")


def test_last_99_is_one_line_before_any_training(tiny):
    with pytest.raises(ModelError, match="expected last:1 to last:4"):
        train(tiny("model.tune=last:99"), quiet=True)
    assert not RunDirectory(tiny().out).path.exists()


def test_layer_decay_scales_low_rank_factors_as_their_layer(tiny):
    engine = prepared(
        tiny("model.tune=lora", "optim.layer_decay=0.5", "optim.name=adamw", "optim.lr=0.8")
    )
    state = engine.task.state
    names = {id(p): name for name, p in state.model.named_parameters()}
    scales = {
        names[id(p)]: g["lr_scale"] for g in state.optimizer.param_groups for p in g["params"]
    }
    net = "backbone.net.layer"
    assert scales[f"{net}4.0.conv1.lora_up"] == 0.5
    assert scales[f"{net}1.0.conv1.lora_down"] == 0.5**4
    assert set(scales) == {n for n, p in state.model.named_parameters() if p.requires_grad}
