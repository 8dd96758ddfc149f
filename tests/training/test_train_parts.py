"""Schedule, groups and the weight average, against formulas written out."""

from __future__ import annotations

import copy
import math

import pytest
import torch
from torch import nn

from ke2nt.config.schema import OptimConfig, TrainConfig
from ke2nt.errors import CheckpointError, ConfigError, TrainingError
from ke2nt.models.linear import LinearClassifier
from ke2nt.runtime import distributed
from ke2nt.runtime.seeding import torch_generator
from ke2nt.training.batches import epoch_order
from ke2nt.training.checkpoint import load_checkpoint, save_checkpoint
from ke2nt.training.device import Compute, choose_compute
from ke2nt.training.ema import ModelEma
from ke2nt.training.optimizer import build_optimizer, learning_rate, set_learning_rate
from ke2nt.training.progress import Progress
from ke2nt.training.state import TrainingState


def test_constant_warm_up_then_cosine_as_published():
    config = OptimConfig(lr=0.002, epochs=50, warmup_epochs=1, warmup_lr=1e-4, warmup="constant")
    assert {learning_rate(s, 10, config) for s in range(10)} == {1e-4}
    assert learning_rate(10, 10, config) == pytest.approx(0.002)
    half = 10 + (500 - 10) // 2
    assert learning_rate(half, 10, config) == pytest.approx(0.001)
    assert learning_rate(499, 10, config) < 1e-6


def test_linear_warm_up_climbs_and_the_end_is_min_lr():
    config = OptimConfig(
        lr=1.0, epochs=4, warmup_epochs=2, warmup_lr=0.5, warmup="linear", min_lr=0.1
    )
    values = [learning_rate(s, 4, config) for s in range(17)]
    assert values[:9] == pytest.approx([0.5 + s / 16 for s in range(9)])
    expected = [0.1 + 0.45 * (1 + math.cos(math.pi * k / 8)) for k in range(9)]
    assert values[8:] == pytest.approx(expected)


@pytest.mark.parametrize("name", ["sgd", "adamw"])
def test_biases_and_norms_are_not_decayed_unless_asked(name):
    model = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.Linear(2, 2))
    groups = build_optimizer(model, OptimConfig(name=name, weight_decay=0.3)).param_groups
    assert [g["weight_decay"] for g in groups] == [0.3, 0.0]
    assert {id(p) for p in groups[0]["params"]} == {id(model[0].weight), id(model[2].weight)}
    assert sum(len(g["params"]) for g in groups) == len(list(model.parameters()))
    (group,) = build_optimizer(model, OptimConfig(name=name, decay_all=True)).param_groups
    assert len(group["params"]) == len(list(model.parameters()))


def test_layers_far_from_the_features_learn_more_slowly():
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


def test_the_average_follows_its_formula_for_weights_and_buffers():
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


def test_a_checkpoint_holds_what_trains_beside_the_model(tmp_path):
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


@pytest.mark.parametrize(
    ("precision", "capable", "expected"),
    [
        ("auto", True, "bf16"),
        ("auto", False, "fp32"),
        ("bf16", False, "bf16"),
        ("fp32", True, "fp32"),
    ],
)
def test_a_cpu_trains_in_bf16_where_it_computes_in_it(monkeypatch, precision, capable, expected):
    monkeypatch.setattr("ke2nt.runtime.devices.computes_in_bf16", lambda device: capable)
    config = TrainConfig(device="cpu", precision=precision)
    assert choose_compute(config) == Compute(torch.device("cpu"), expected)


@pytest.fixture
def two_gpus(monkeypatch):
    """Stand in for them; the numbers that are chosen."""
    chosen = []
    monkeypatch.delenv("LOCAL_RANK", raising=False)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr("ke2nt.runtime.devices.computes_in_bf16", lambda device: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "set_device", chosen.append)
    return chosen


@pytest.mark.parametrize(("device", "chosen"), [("cuda:1", [1]), ("cuda", []), ("cpu", [])])
def test_the_gpu_of_a_number_is_the_one_that_trains(two_gpus, device, chosen):
    assert choose_compute(TrainConfig(device=device)).device == torch.device(device.split(":")[0])
    assert two_gpus == chosen


@pytest.mark.parametrize(
    ("device", "words"),
    [
        ("cuda:2", r"this GPU cannot be chosen; expected cuda:0 to cuda:1; found device=cuda:2"),
        ("cuda:", "unknown device; expected auto, cpu, cuda, cuda:N or mps; found cuda:"),
        ("gpu", "unknown device"),
    ],
)
def test_a_gpu_that_is_not_there(two_gpus, device, words):
    with pytest.raises(TrainingError, match=words):
        choose_compute(TrainConfig(device=device))


def test_each_of_several_processes_has_its_own_gpu(two_gpus, monkeypatch):
    monkeypatch.setenv("LOCAL_RANK", "0")
    with pytest.raises(TrainingError, match="a launcher gives each process its own"):
        choose_compute(TrainConfig(device="cuda:1"))


@pytest.mark.parametrize(
    ("device", "backend", "chosen"),
    [("auto", "nccl", [1]), (None, "nccl", [1]), ("cpu", "gloo", [])],
)
def test_processes_meet_where_they_compute(two_gpus, monkeypatch, device, backend, chosen):
    joined = []
    monkeypatch.setenv("WORLD_SIZE", "3")
    monkeypatch.setenv("LOCAL_RANK", "1")
    monkeypatch.setattr(distributed.dist, "init_process_group", joined.append)
    monkeypatch.setattr(distributed.atexit, "register", lambda function: None)
    distributed.join_group(device)
    assert (joined, two_gpus) == ([backend], chosen)
    monkeypatch.setenv("LOCAL_RANK", "2")
    if backend == "nccl":
        with pytest.raises(ConfigError, match=r"more processes than GPUs.*expected at most 2"):
            distributed.join_group(device)
