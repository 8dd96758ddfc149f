"""Quality metrics of each expression, and identity in two spaces."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from ke2nt.data.sample import FaceSample, FaceSplit
from ke2nt.generation import evaluate_generator as module
from ke2nt.generation.evaluate_generator import evaluate_generator
from ke2nt.generation.networks.generator import FaceGenerator
from ke2nt.models.linear import LinearClassifier

CLASSES = ("neutral", "happiness", "anger")


def split(name, count):
    rng = np.random.default_rng(count)
    pixels = rng.integers(0, 256, (count, 16, 16, 3), dtype=np.uint8)
    samples = [FaceSample(f"{i}", image, i % 3) for i, image in enumerate(pixels)]
    return FaceSplit("noise", name, CLASSES, samples)


@pytest.fixture
def measure(monkeypatch):
    """Metrics of an untrained generator; the face space is that of the pixels."""
    torch.manual_seed(0)
    generator = FaceGenerator(CLASSES, 16, 1, width=4, code_dim=8).eval()
    judge = LinearClassifier(CLASSES, "test_resnet", 24)
    monkeypatch.setattr(module, "FaceSpace", nn.Flatten)

    def run(*, faces, sources=5, quiet=True):
        file = Path("file") if faces else None
        monkeypatch.setattr(module, "dlib_package_file", lambda: file)
        return evaluate_generator(
            generator,
            judge,
            real=split("val", sources),
            training=split("train", 7),
            count=18,
            quiet=quiet,
        )

    return run


def test_expressions_add_up_to_the_whole(measure):
    metrics = measure(faces=False)
    rows = metrics["per_expression"]
    assert tuple(rows) == CLASSES
    for name in ("accuracy_new", "diversity"):
        mean = sum(row[name] for row in rows.values()) / 3
        assert mean == pytest.approx(metrics[name])
    nearest = [row["nearest"] for row in rows.values()]
    assert min(nearest) <= metrics["nearest"] <= max(nearest)


def test_an_expression_without_edits_has_no_accuracy(measure, monkeypatch, capsys):
    monkeypatch.setattr("ke2nt.runtime.progress._SECONDS", 0)
    rows = measure(faces=False, sources=2)["per_expression"]
    assert [row["accuracy_edits"] for row in rows.values()].count(None) >= 1
    assert capsys.readouterr().err == ""


def test_progress_of_every_part_is_printed_without_a_terminal(measure, monkeypatch, capsys):
    monkeypatch.setattr("ke2nt.runtime.progress._SECONDS", 0)
    measure(faces=True, quiet=False)
    lines = capsys.readouterr().err
    for part in ("generating faces", "editing faces", "features of new faces", "comparing ident"):
        assert part in lines


def test_identity_in_the_face_space(measure, monkeypatch):
    assert "identity_kept" not in measure(faces=False)
    compared = []
    monkeypatch.setattr(
        module, "_identity_kept", lambda *args, quiet: compared.append(args) or len(compared)
    )
    metrics = measure(faces=True)
    assert (metrics["identity_kept"], metrics["identity_kept_judge"]) == (1, 2)
    assert isinstance(compared[0][0], nn.Flatten)


def test_identity_is_kept_where_the_own_source_is_the_nearest():
    sources = torch.randn(6, 1, 4, 4)
    edits = sources + 0.01
    edits[[0, 1]] = edits[[1, 0]]
    assert module._identity_kept(nn.Flatten(), edits, sources) == pytest.approx(4 / 6)
