"""What each of two processes does in `test_sharding.py`."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from ke2nt.config.load import load_config
from ke2nt.errors import TrainingError
from ke2nt.runtime.distributed import rank
from ke2nt.runtime.sharding import local_part
from ke2nt.training import engine as engine_module
from ke2nt.training.setup import prepare_engine
from ke2nt.training.train_recognizer import train


def train_sharded(path: str) -> None:
    """Train as a configuration says, stopped after the first checkpoint and resumed; then exit.

    How many values this process holds is written to `held-RANK.json` in the run.
    """
    config, real = load_config(path), engine_module.save_checkpoint

    def save_and_stop(*arguments, **options):
        real(*arguments, **options)
        raise TrainingError("enough")

    engine_module.save_checkpoint = save_and_stop
    with pytest.raises(TrainingError, match="enough"):
        train(config, quiet=True)
    engine_module.save_checkpoint = real

    engines = []

    def make_engine(*arguments, **options):
        engines.append(prepare_engine(*arguments, **options))
        return engines[0]

    train(config, resume=True, quiet=True, make_engine=make_engine)
    state = engines[0].task.state
    held = {
        "model": _count(state.model.parameters()),
        "ema": _count(state.ema.model.parameters()),
        "optimizer": _count(v["momentum_buffer"] for v in state.optimizer.state.values()),
    }
    (Path(config.out) / f"held-{rank()}.json").write_text(json.dumps(held))
    sys.exit(0)


def _count(tensors):
    tensors = [tensor for tensor in tensors if tensor is not None]
    return {
        "here": sum(local_part(tensor).numel() for tensor in tensors),
        "total": sum(tensor.numel() for tensor in tensors),
    }
