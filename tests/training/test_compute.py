"""Device and precision of a run."""

from __future__ import annotations

import pytest
import torch

from ke2nt.config.schema import TrainConfig
from ke2nt.errors import ConfigError, TrainingError
from ke2nt.runtime import distributed
from ke2nt.training.compute import Compute, choose_compute
from ke2nt.training.train_recognizer import train


@pytest.mark.parametrize(
    ("override", "word"), [("device=cuda", "CUDA"), ("device=toaster", "unknown device")]
)
def test_missing_device_is_refused(tiny, override, word):
    if override == "device=cuda" and torch.cuda.is_available():
        pytest.skip("this machine has a CUDA device")
    with pytest.raises(TrainingError, match=word):
        train(tiny(override), quiet=True)


@pytest.mark.parametrize(
    ("precision", "capable", "expected"),
    [
        ("auto", True, "bf16"),
        ("auto", False, "fp32"),
        ("bf16", False, "bf16"),
        ("fp32", True, "fp32"),
    ],
)
def test_auto_precision_follows_the_cpu(monkeypatch, precision, capable, expected):
    monkeypatch.setattr("ke2nt.runtime.devices.computes_in_bf16", lambda device: capable)
    config = TrainConfig(device="cpu", precision=precision)
    assert choose_compute(config) == Compute(torch.device("cpu"), expected)


@pytest.fixture
def two_gpus(monkeypatch):
    """Pretend that there are two GPUs; returns the list of selected numbers."""
    chosen = []
    monkeypatch.delenv("LOCAL_RANK", raising=False)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr("ke2nt.runtime.devices.computes_in_bf16", lambda device: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "set_device", chosen.append)
    return chosen


@pytest.mark.parametrize(("device", "chosen"), [("cuda:1", [1]), ("cuda", []), ("cpu", [])])
def test_numbered_gpu_is_selected(two_gpus, device, chosen):
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
def test_missing_gpu_is_refused(two_gpus, device, words):
    with pytest.raises(TrainingError, match=words):
        choose_compute(TrainConfig(device=device))


def test_numbered_gpu_is_refused_under_a_launcher(two_gpus, monkeypatch):
    monkeypatch.setenv("LOCAL_RANK", "0")
    with pytest.raises(TrainingError, match="a launcher gives each process its own"):
        choose_compute(TrainConfig(device="cuda:1"))


@pytest.mark.parametrize(
    ("device", "backend", "chosen"),
    [("auto", "nccl", [1]), (None, "nccl", [1]), ("cpu", "gloo", [])],
)
def test_process_group_uses_the_backend_of_its_device(
    two_gpus, monkeypatch, device, backend, chosen
):
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
