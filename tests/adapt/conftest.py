"""Two tiny domains on disk, a source model, and configurations that adapt it in about a second."""

from __future__ import annotations

import pytest
from adapt_domains import draw

from ke2nt.config.adapt import AdaptConfig
from ke2nt.config.load import load_config
from ke2nt.training.train_recognizer import train


@pytest.fixture(scope="session")
def domains(tmp_path_factory):
    """Folders `source/train`, `source/val` and `target` by class, and `bare` without classes."""
    root = tmp_path_factory.mktemp("domains")
    draw(root / "source" / "train", 14, shift=0.0, seed=0)
    draw(root / "source" / "val", 6, shift=0.0, seed=1)
    draw(root / "target", 10, shift=0.6, seed=2)
    (root / "bare" / "deep").mkdir(parents=True)
    for i, path in enumerate(sorted((root / "target").rglob("*.png"))):
        folder = root / "bare" / ("deep" if i % 2 else "")
        (folder / f"{i:02d}.png").write_bytes(path.read_bytes())
    return root


SOURCE = [
    "data.name=folder",
    "data.options={}",
    "data.workers=0",
    "model.backbone=test_resnet",
    "model.backbone_options={}",
    "model.stem=standard",
    "model.weights=null",
    "model.image_size=24",
    "model.gray=false",
    "device=cpu",
    "precision=fp32",
]


@pytest.fixture(scope="session")
def source_model(domains, tmp_path_factory):
    """A run directory: the model before any adaptation."""
    out = tmp_path_factory.mktemp("source") / "run"
    steps = ["optim.epochs=4", "optim.lr=0.004", "optim.batch_size=14", "select.every=4"]
    steps += ["augment.crop_padding=3"]
    config = load_config(
        "quickstart", [f"out={out}", f"data.root={domains}/source", *SOURCE, *steps]
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("ke2nt.training.train_recognizer.write_training_report", lambda *a, **k: None)
        train(config, quiet=True)
    return out


@pytest.fixture
def tiny(domains, source_model, tmp_path):
    """Make a configuration; further overrides come last."""

    def make(*overrides: str, out: str = "run") -> AdaptConfig:
        return load_config(
            "dmsrl_drawn_to_ferplus",
            [
                *SOURCE,
                f"out={tmp_path / out}",
                f"start={source_model}",
                f"data.root={domains}/source",
                "optim={name: sgd, lr: 0.01, batch_size: 14, epochs: 2, warmup_epochs: 0}",
                "optim.ema=0.9",
                "select.every=1",
                "target={name: folder, workers: 0}",
                f"target.root={domains}/target",
                "keep=true",
                *overrides,
            ],
            AdaptConfig,
        )

    return make


@pytest.fixture(autouse=True)
def _without_report(request, monkeypatch):
    """Skip the report, which takes longer than such a run, except with `with_report`."""
    if "with_report" not in request.fixturenames:
        monkeypatch.setattr("ke2nt.adapt.finish_adaptation.write_report", lambda *a, **k: None)
        monkeypatch.setattr(
            "ke2nt.adapt.finish_adaptation.build_adaptation_report", lambda *a, **k: None
        )


@pytest.fixture
def with_report():
    """Request the HTML report."""
