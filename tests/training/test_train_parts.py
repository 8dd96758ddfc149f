"""Schedule, parameter groups, sampling and average, against written-out formulas."""

from __future__ import annotations

import copy
import math

import pytest
import torch
from torch import nn

from ke2nt.config.schema import OptimConfig
from ke2nt.errors import CheckpointError
from ke2nt.models.linear import LinearClassifier
from ke2nt.runtime.seeding import torch_generator
from ke2nt.training.checkpoint import load_checkpoint, save_checkpoint
from ke2nt.training.ema import ModelEma
from ke2nt.training.optimizer import build_optimizer, learning_rate, set_learning_rate
from ke2nt.training.progress import Progress
from ke2nt.training.sampling import epoch_order
from ke2nt.training.state import TrainingState


def test_constant_warmup_then_cosine_as_published():
    config = OptimConfig(lr=0.002, epochs=50, warmup_epochs=1, warmup_lr=1e-4, warmup="constant")
    assert {learning_rate(s, 10, config) for s in range(10)} == {1e-4}
    assert learning_rate(10, 10, config) == pytest.approx(0.002)
    half = 10 + (500 - 10) // 2
    assert learning_rate(half, 10, config) == pytest.approx(0.001)
    assert learning_rate(499, 10, config) < 1e-6


def test_learning_rate_steps_down_every_thirty_epochs():
    config = OptimConfig(lr=0.01, schedule="steps", warmup_epochs=0, epochs=60)
    rates = {epoch: learning_rate(10 * epoch, 10, config) for epoch in (0, 29, 30, 59)}
    assert rates == pytest.approx({0: 0.01, 29: 0.01, 30: 0.001, 59: 0.001})
    assert learning_rate(299, 10, config) == pytest.approx(0.01)


def test_linear_warmup_and_final_learning_rate():
    config = OptimConfig(
        lr=1.0, epochs=4, warmup_epochs=2, warmup_lr=0.5, warmup="linear", min_lr=0.1
    )
    values = [learning_rate(s, 4, config) for s in range(17)]
    assert values[:9] == pytest.approx([0.5 + s / 16 for s in range(9)])
    expected = [0.1 + 0.45 * (1 + math.cos(math.pi * k / 8)) for k in range(9)]
    assert values[8:] == pytest.approx(expected)


@pytest.mark.parametrize("name", ["sgd", "adamw"])
def test_biases_and_norms_do_not_decay_by_default(name):
    model = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.Linear(2, 2))
    groups = build_optimizer(model, OptimConfig(name=name, weight_decay=0.3)).param_groups
    assert [g["weight_decay"] for g in groups] == [0.3, 0.0]
    assert {id(p) for p in groups[0]["params"]} == {id(model[0].weight), id(model[2].weight)}
    assert sum(len(g["params"]) for g in groups) == len(list(model.parameters()))
    (group,) = build_optimizer(model, OptimConfig(name=name, decay_all=True)).param_groups
    assert len(group["params"]) == len(list(model.parameters()))


def test_layer_decay_lowers_the_rates_of_early_layers():
    model = LinearClassifier(("a", "b"), backbone="test_resnet", image_size=32)
    optimizer = build_optimizer(model, OptimConfig(layer_decay=0.5, lr=0.8))
    set_learning_rate(optimizer, 0.8)
    rates = {id(p): g["lr"] for g in optimizer.param_groups for p in g["params"]}
    named = dict(model.named_parameters())
    assert len(rates) == len(named)
    net = "backbone.net."
    order = [f"{net}conv1.0.weight", f"{net}layer1.0.conv1.weight", f"{net}layer4.0.conv1.weight"]
    order = [name for name in order if name in named]
    values = [rates[id(named[name])] for name in order]
    assert values == sorted(values)
    assert values[-1] == pytest.approx(0.4)
    head = [p for name, p in named.items() if not name.startswith("backbone.")]
    assert {rates[id(p)] for p in head} == {0.8}


@pytest.mark.parametrize(("sampling", "power"), [("sqrt", 0.5), ("balanced", 0.0)])
def test_rare_classes_are_drawn_more_often(sampling, power):
    classes = torch.tensor([0] * 900 + [1] * 90 + [2] * 10)
    positions = torch.arange(1000)[::2]  # 450, 45 and 5 of them
    orders = [
        epoch_order(positions, classes, sampling, torch_generator(seed)) for seed in range(40)
    ]
    assert {len(order) for order in orders} == {500}
    drawn = torch.cat(orders)
    assert set(drawn.tolist()) <= set(positions.tolist())
    shares = classes[drawn].bincount().double() / len(drawn)
    expected = torch.tensor([450.0, 45.0, 5.0]).double().pow(power)
    assert torch.allclose(shares, expected / expected.sum(), atol=0.02)


def test_natural_sampling_shows_each_image_once():
    positions = torch.tensor([5, 2, 9])
    order = epoch_order(positions, torch.zeros(10).long(), "natural", torch_generator(0))
    assert sorted(order.tolist()) == [2, 5, 9]


def test_ema_follows_its_formula_for_weights_and_buffers():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2))
    ema = ModelEma(model, 0.9)
    oracle = copy.deepcopy(model.state_dict())
    for n in range(120):
        model(torch.randn(4, 2))
        with torch.no_grad():
            model[0].weight.add_(torch.randn(2, 2))
        ema.update(model)
        decay = min(0.9, (1 + n) / (10 + n))
        for name, value in model.state_dict().items():
            if value.is_floating_point():
                oracle[name] = decay * oracle[name] + (1 - decay) * value
            else:
                oracle[name] = value.clone()
    for name, value in ema.model.state_dict().items():
        assert torch.allclose(value, oracle[name], atol=1e-5), name
    assert int(ema.model[1].num_batches_tracked) == 120
    assert not any(p.requires_grad for p in ema.model.parameters())


def test_checkpoint_holds_extra_modules(tmp_path):
    model, extra = nn.Linear(3, 2), nn.Linear(2, 1)
    optimizer = torch.optim.AdamW([*model.parameters(), *extra.parameters()], lr=0.1)
    extra(model(torch.ones(4, 3))).sum().backward()
    optimizer.step()
    path = save_checkpoint(
        tmp_path, TrainingState(model, optimizer, None, extra), Progress(epoch=1), keep=1
    )
    again, beside = nn.Linear(3, 2), nn.Linear(2, 1)
    other = torch.optim.AdamW([*again.parameters(), *beside.parameters()], lr=0.1)
    assert load_checkpoint(path, TrainingState(again, other, None, beside)) == Progress(epoch=1)
    assert all(map(torch.equal, beside.parameters(), extra.parameters()))
    assert torch.equal(
        other.state[beside.weight]["exp_avg"], optimizer.state[extra.weight]["exp_avg"]
    )
    with pytest.raises(CheckpointError, match="belongs to another model"):
        load_checkpoint(path, TrainingState(again, other, None, nn.Linear(5, 1)))
