"""A tiny dataset on disk, and configurations that train on it in a second or two."""

from __future__ import annotations

import pytest
import torch
from gan_faces import CLASSES, write_images

from ke2nt.config.gan import FesganConfig
from ke2nt.config.load import load_config

TINY = (
    "data.name=folder",
    "data.options={}",
    "data.workers=0",
    "model.image_size=16",
    "model.gray=true",
    "model.backbone=test_resnet",
    "gan.network={width: 4, critic_width: 4, code_dim: 8, expression: own}",
    "gan.optim.epochs=2",
    "gan.optim.batch_size=8",
    "gan.samples={every: 2, rows: 2}",
    "gan.guard.action=log",
    "optim={name: adamw, lr: 0.004, batch_size: 8, epochs: 2, warmup_epochs: 0.5}",
    "joint={start: 0, ramp: 0}",
    "device=cpu",
    "precision=fp32",
    "keep=true",
)


@pytest.fixture(scope="session")
def faces(tmp_path_factory):
    return write_images(tmp_path_factory.mktemp("gan") / "faces", dict.fromkeys(CLASSES, 8))


@pytest.fixture
def tiny(faces, tmp_path):
    """Make a configuration; further overrides come last."""

    def make(*overrides, out="run", root=faces):
        base = [f"out={tmp_path / out}", f"data.root={root}", *TINY]
        return load_config("fesgan_drawn", [*base, *overrides], FesganConfig)

    return make


@pytest.fixture(autouse=True)
def _without_images(request, monkeypatch):
    """Skip grids and reports, which take longer than such a run, except with `with_images`."""
    if "with_images" not in request.fixturenames:
        monkeypatch.setattr("ke2nt.generation.saved_gan.write_sample_grids", lambda *a: None)
        monkeypatch.setattr(
            "ke2nt.training.train_recognizer.write_training_report", lambda *a, **k: None
        )


@pytest.fixture
def with_images():
    """Request grids and reports."""


@pytest.fixture
def batch():
    """Six gray faces of 16 px and their labels."""
    torch.manual_seed(0)
    return torch.rand(6, 1, 16, 16) * 2 - 1, torch.tensor([0, 1, 2, 0, 1, 2])
