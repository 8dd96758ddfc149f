"""The benchmarks run, report what they say, and measure what they claim to."""

from __future__ import annotations

import json
import sys
from contextlib import contextmanager

import pytest
import torch
from command_line import run_ke2nt
from typer.testing import CliRunner

from ke2nt.cli.bench import app
from ke2nt.config.load import load_config
from ke2nt.models.linear import LinearClassifier
from ke2nt.speed import training
from ke2nt.speed.inference import measure_inference
from ke2nt.speed.measure import take_turns
from ke2nt.speed.reference import ReferenceSettings, reference_epochs
from ke2nt.speed.training import random_faces, training_speed


@pytest.fixture
def clock():
    """The time of a clock that work moves by hand."""
    return [0.0]


def test_contestants_take_turns_and_warm_up_outside_the_clock(clock):
    calls = []

    def contestant(name, cost):
        @contextmanager
        def opened():
            calls.append(name)

            def work():
                clock[0] += cost if calls[-1].endswith("warm") else 100.0
                calls.append(f"{name} warm")
                return 10

            yield work

        return opened

    rates = take_turns(
        {"a": contestant("a", 2.0), "b": contestant("b", 5.0)},
        torch.device("cpu"),
        rounds=2,
        clock=lambda: clock[0],
    )
    assert calls == ["a", "a warm", "a warm", "b", "b warm", "b warm"] * 2
    assert rates["a"].images_per_second == 5.0
    assert rates["b"].rounds == (2.0, 2.0)


def test_training_speed_reports_rates_and_their_ratio():
    config = load_config(
        "rafdb_resnet18",
        ["model.backbone=test_resnet", "model.image_size=32", "optim.batch_size=4", "device=cpu"],
    )
    report = training_speed(config, steps=1, rounds=1, reference=False)
    assert report["loop_over_bare"] == pytest.approx(report["loop"] / report["bare"], rel=0.01)
    assert report["settings"]["batch_size"] == 4
    assert "reference_style" not in report
    json.dumps(report)


@pytest.mark.parametrize("steps", [1, 3, 4, 9])
def test_a_step_is_recorded_before_it_is_timed(monkeypatch, steps):
    """`StepGraph` records on its fourth call."""
    calls = []

    class Counting:
        def __init__(self, work, device):
            calls.append(0)

        def __call__(self, *inputs):
            calls[-1] += 1
            return []

    def opened_and_warmed(contestants, device, *, warm_up, **_):
        with contestants["bare"]() as work:
            for _ in range(warm_up):
                work()
        raise KeyboardInterrupt

    monkeypatch.setattr(training, "StepGraph", Counting)
    monkeypatch.setattr(training, "take_turns", opened_and_warmed)
    config = load_config("rafdb_resnet18", ["model.backbone=test_resnet", "model.image_size=32",
                         "optim.batch_size=2", "device=cpu", "cuda_graphs=true"])  # fmt: skip
    with pytest.raises(KeyboardInterrupt):
        training_speed(config, steps=steps)
    assert calls[-1] >= 4
    assert calls[-1] - steps < 4


class _Tower(torch.nn.Module):
    """A text tower that counts its calls."""

    def __init__(self):
        super().__init__()
        self.clip = torch.nn.Module()
        self.clip.text_projection = torch.nn.Parameter(torch.zeros(8, 16), requires_grad=False)
        self.calls = 0

    def forward(self, prompts):
        self.calls += 1
        return torch.randn(len(prompts), 16, generator=torch.Generator().manual_seed(1))


def test_reference_runs_its_text_tower_on_every_batch_and_trains(tmp_path, monkeypatch):
    from PIL import Image

    tower = _Tower()
    monkeypatch.setattr("ke2nt.speed.reference._TextTower", lambda: tower)
    split = random_faces(9, 16)
    files = []
    for sample in split.samples:
        files.append(tmp_path / f"{sample.name}.jpg")
        Image.fromarray(sample.source).save(files[-1])

    net = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(3 * 16 * 16, 6))
    before = net[1].weight.detach().clone()

    # one epoch of two batches; the ninth image is dropped
    with reference_epochs(
        net,
        6,
        files,
        split.labels().tolist(),
        {name: name for name in split.classes},
        ReferenceSettings(size=16, batch_size=4, workers=0, device=torch.device("cpu")),
    ) as epoch:
        assert epoch() == 8
    assert tower.calls == 2
    assert not torch.equal(before, net[1].weight)


def test_inference_speed_predicts_every_image():
    model = LinearClassifier(("a", "b"), backbone="test_resnet", image_size=32)
    report = measure_inference(model, batch_size=4, steps=1, rounds=1)
    assert report["predict_over_bare"] == pytest.approx(
        report["predict"] / report["bare"], rel=0.01
    )


SMALL_TOWER = """
import torch, ke2nt.speed.reference as reference
class Tower(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.clip = torch.nn.Module()
        self.clip.text_projection = torch.nn.Parameter(torch.zeros(8, 16), requires_grad=False)
    def forward(self, prompts):
        return torch.randn(len(prompts), 16)
reference._TextTower = Tower
"""


def test_training_speed_on_the_command_line():
    words = "bench train data.workers=0 --backbone test_resnet --size 32 --batch 4 --steps 2"
    words += " --rounds 1 --device cpu --json"
    done = run_ke2nt(*words.split(), before=SMALL_TOWER)
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert min(report[name] for name in ("bare", "loop", "reference_style")) > 0
    ratio = report["loop"] / report["reference_style"]
    assert report["loop_over_reference"] == pytest.approx(ratio, rel=0.02)
    assert report["settings"]["precision"] in ("bf16", "fp32")
    if sys.platform == "linux":
        assert all(rate["peak_mib"] > 50 for rate in report["detail"].values())


def test_compiled_loop_is_compared_with_a_compiled_backbone(compile_calls):
    config = load_config("rafdb_resnet18", ["model.backbone=test_resnet", "model.image_size=32",
                         "optim.batch_size=4", "device=cpu", "compile=true"])  # fmt: skip
    report = training_speed(config, steps=1, rounds=1, reference=False)
    assert compile_calls.count("default") == 2
    assert report["settings"]["compile"] is True


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is one")
def test_missing_device_is_one_clear_error():
    done = run_ke2nt(
        "bench", "infer", "--backbone", "test_resnet", "--size", "32", "--device", "cuda"
    )
    assert done.returncode == 2
    assert done.stderr.startswith("error: the device 'cuda' cannot be used here")


def test_inference_speed_on_the_command_line():
    done = run_ke2nt("bench", "infer", "--backbone", "test_resnet", "--size", "32", "--batch", "4",
                     "--steps", "1", "--rounds", "1", "--json")  # fmt: skip
    report = json.loads(done.stdout)
    assert report["predict_over_bare"] == pytest.approx(
        report["predict"] / report["bare"], rel=0.02
    )


def test_cache_speed_on_the_command_line():
    done = CliRunner().invoke(app, ["cache", "--hits", "2", "--json"])
    assert done.exit_code == 0
    report = json.loads(done.stdout)
    assert report["hit_seconds"] < report["build_seconds"]


def test_unknown_backbone_is_one_clear_error():
    done = run_ke2nt("bench", "train", "--backbone", "resnet81")
    assert done.returncode == 2
    assert done.stderr.startswith("error: unknown backbone 'resnet81'")
    assert len(done.stderr.strip().splitlines()) == 1
