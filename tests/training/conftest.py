"""A tiny dataset on disk and a configuration that trains on it in about a second."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from ke2nt.config.load import load_config

CLASSES = ("neutral", "happiness", "anger")


@pytest.fixture(scope="session")
def faces(tmp_path_factory):
    """60 images of three classes; each class is bright in another place."""
    root = tmp_path_factory.mktemp("faces")
    rng = np.random.default_rng(0)
    for split, count in (("train", 14), ("val", 6)):
        for label, name in enumerate(CLASSES):
            folder = root / split / name
            folder.mkdir(parents=True)
            for i in range(count):
                pixels = rng.integers(0, 120, (24, 24, 3), dtype=np.uint8)
                pixels[8 * label : 8 * label + 8] += 120
                Image.fromarray(pixels).save(folder / f"{i}.png")
    return root


@pytest.fixture
def tiny(faces, tmp_path):
    """Make a configuration; further overrides come last."""

    def make(*overrides: str, out: str = "run"):
        return load_config(
            "quickstart",
            [
                f"out={tmp_path / out}",
                "data.name=folder",
                f"data.root={faces}",
                "data.options={}",
                "data.workers=0",
                "model.backbone=test_resnet",
                "model.backbone_options={}",
                "model.stem=standard",
                "model.image_size=24",
                "optim.batch_size=8",
                "optim.epochs=3",
                "optim.warmup_epochs=1",
                "select.every=1",
                "device=cpu",
                "precision=fp32",
                "keep=true",
                *overrides,
            ],
        )

    return make


@pytest.fixture(autouse=True)
def _without_report(request, monkeypatch):
    """Skip the report, which takes longer than a tiny run, unless a test uses `with_report`."""
    if "with_report" not in request.fixturenames:
        monkeypatch.setattr(
            "ke2nt.training.train_recognizer.write_training_report", lambda *a, **k: None
        )


@pytest.fixture
def with_report():
    """Ask for the HTML report."""
