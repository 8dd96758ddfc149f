"""Weights of adapted models, loaded and compared."""

from __future__ import annotations

import torch
from safetensors.torch import load_file


def load_weights(result_or_run):
    run = getattr(result_or_run, "run", result_or_run)
    return load_file(run.model / "model.safetensors")


def assert_same_weights(a, b):
    assert a.keys() == b.keys()
    for name in a:
        assert torch.equal(a[name], b[name]), name


def weights_differ(a, b):
    return any(not torch.equal(a[name], b[name]) for name in a)
