"""What tests of training runs share: states of checkpoints, and engines of new runs."""

from __future__ import annotations

import json

import torch
from safetensors.torch import load_file

from ke2nt.data.preprocessing import Preprocessing
from ke2nt.training.checkpoint import latest_checkpoint
from ke2nt.training.compute import choose_compute
from ke2nt.training.run_directory import RunDirectory
from ke2nt.training.setup import prepare_engine
from ke2nt.training.training_data import load_training_data


def state(run) -> dict[str, torch.Tensor]:
    return load_file(latest_checkpoint(run.checkpoints) / "state.safetensors")


def assert_same_run(a, b) -> None:
    """Compare checkpoints bit for bit, and logs except for the times."""
    first, second = state(a), state(b)
    assert first.keys() == second.keys()
    for name in first:
        assert torch.equal(first[name], second[name]), name
    logs = [
        [
            {k: v for k, v in json.loads(line).items() if k != "seconds"}
            for line in (run.path / "log.jsonl").read_text().splitlines()
        ]
        for run in (a, b)
    ]
    assert logs[0] == logs[1]


def prepared(config):
    """Build the engine of a new run."""
    preprocessing = Preprocessing(image_size=24)
    return prepare_engine(
        config,
        RunDirectory(config.out),
        load_training_data(config, preprocessing, quiet=True),
        choose_compute(config),
        preprocessing,
        quiet=True,
    )
