"""Pixel conversion, frozen features, sampling to a folder, the confidence filter."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from ke2nt.data.preprocessing import Preprocessing
from ke2nt.data.tensors import FaceTensors
from ke2nt.datasets.catalog import get_reader
from ke2nt.errors import DataError, LabelError, ModelError
from ke2nt.generation.networks.confidence_filter import ConfidenceFilter, predict_probabilities
from ke2nt.generation.networks.generator import FaceGenerator
from ke2nt.generation.networks.identity_features import FrozenFeatures
from ke2nt.generation.networks.pixels import from_pixels, resize, to_pixels, to_uint8
from ke2nt.generation.networks.sample_faces import write_synthetic_faces
from ke2nt.models.linear import LinearClassifier

CLASSES = ("neutral", "happiness", "anger")


@pytest.fixture(scope="module")
def generator():
    torch.manual_seed(0)
    model = FaceGenerator(CLASSES, 16, 1, width=4, code_dim=8)
    codes = model.sample_codes(64, torch.Generator().manual_seed(0))
    for _ in range(40):  # batch statistics; without them all faces would look the same
        model.decode(codes, torch.arange(64) % 3)
    model.eval()
    return model


@pytest.fixture(scope="module")
def judge():
    torch.manual_seed(0)
    return LinearClassifier(CLASSES, "test_resnet", 24).eval()


def files(folder):
    return {p.relative_to(folder): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def test_pixel_conversion_round_trip():
    pixels = torch.randint(0, 256, (3, 3, 8, 8), dtype=torch.uint8)
    images = from_pixels(pixels, 3)
    assert images.min() >= -1
    assert images.max() <= 1
    assert torch.equal(to_uint8(images), pixels.permute(0, 2, 3, 1))
    gray = from_pixels(pixels, 1)
    assert gray.shape == (3, 1, 8, 8)
    as_model = Preprocessing(image_size=8, mean=(0.5,) * 3, std=(0.5,) * 3, gray=True)
    torch.testing.assert_close(gray, as_model.normalize(pixels)[:, :1], atol=1e-5, rtol=0)
    assert to_pixels(gray).shape == (3, 3, 8, 8)


def test_resizing_is_differentiable():
    images = torch.rand(1, 1, 16, 16, requires_grad=True)
    assert resize(images, 16) is images
    resize(images, 24).sum().backward()
    assert images.grad.abs().min() > 0


def test_frozen_features_pass_gradients_to_images_only(judge):
    space = FrozenFeatures(judge, stage=1).train()
    assert not judge.training
    faces = torch.rand(2, 1, 16, 16, requires_grad=True)
    features = space(faces)
    assert features.shape[0] == 2
    features.square().sum().backward()
    assert faces.grad.abs().sum() > 0
    assert all(p.grad is None for p in judge.parameters())


def test_missing_stage_is_an_error(judge):
    with pytest.raises(ModelError, match="no such stage"):
        FrozenFeatures(judge, stage=9)


@pytest.mark.parametrize("reader", ["folder", "manifest"])
def test_readers_load_written_faces(generator, tmp_path, reader):
    summary = write_synthetic_faces(tmp_path / "faces", generator, 10, 0)
    assert summary["classes"] == {"neutral": 4, "happiness": 3, "anger": 3}
    split = get_reader(reader, tmp_path / "faces").load("train")
    assert split.classes == CLASSES
    assert np.bincount(split.labels()).tolist() == [4, 3, 3]
    images = FaceTensors(split, 16)
    assert not images.failed
    pixels = next(images.batches(10)).pixels
    assert (pixels == pixels[:, :1]).all()  # a gray generator


def test_seed_determines_the_files(generator, tmp_path):
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        write_synthetic_faces(tmp_path / name, generator, 7, seed)
    a, b, c = (files(tmp_path / name) for name in "abc")
    assert a == b
    assert a.keys() == c.keys()
    assert not any(a[name] == c[name] for name in a if name.suffix == ".png")


def test_more_faces_start_with_the_same_ones(generator, tmp_path):
    few, many = tmp_path / "few", tmp_path / "many"
    write_synthetic_faces(few, generator, 6, 1)
    write_synthetic_faces(many, generator, 200, 1)
    every = files(many)
    assert all(every[k] == v for k, v in files(few).items() if k.suffix == ".png")


def test_folder_in_use_is_unchanged(generator, tmp_path):
    (tmp_path / "x").write_text("mine")
    with pytest.raises(DataError, match="in use"):
        write_synthetic_faces(tmp_path, generator, 3, 0)
    assert list(tmp_path.iterdir()) == [tmp_path / "x"]


def test_filter_keeps_confident_faces(generator, judge, tmp_path):
    accept = ConfidenceFilter(judge, CLASSES, 0.3)
    faces = generator.decode(
        generator.sample_codes(50, torch.Generator().manual_seed(0)), torch.arange(50) % 3
    )
    expressions = torch.arange(50) % 3
    mask = accept(faces, expressions)
    probabilities = predict_probabilities(judge, faces)
    assert mask.tolist() == [
        probabilities[i, w].item() >= 0.3 for i, w in enumerate(expressions.tolist())
    ]


def test_filter_handles_another_class_order(generator):
    torch.manual_seed(0)
    other = LinearClassifier(("anger", "neutral", "happiness"), "test_resnet", 24).eval()
    faces = generator.decode(torch.zeros(3, 8), torch.arange(3))
    probabilities = predict_probabilities(other, faces)
    threshold = float(probabilities[0, 1])
    assert ConfidenceFilter(other, CLASSES, threshold)(faces, torch.arange(3))[0]
    assert not ConfidenceFilter(other, CLASSES, threshold + 1e-4)(faces, torch.arange(3))[0]


def test_filter_that_rejects_all_or_lacks_a_class_is_an_error(generator, judge, tmp_path):
    with pytest.raises(DataError, match="no face is accepted as neutral"):
        write_synthetic_faces(
            tmp_path / "x", generator, 3, 0, accept=ConfidenceFilter(judge, CLASSES, 0.99)
        )
    assert not (tmp_path / "x").exists()
    with pytest.raises(LabelError, match="does not know 'fear'"):
        ConfidenceFilter(judge, (*CLASSES, "fear"), 0.5)


def test_progress_is_printed_without_a_terminal(generator, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("ke2nt.runtime.progress._SECONDS", 0)
    write_synthetic_faces(tmp_path / "faces", generator, 4, 0, quiet=False)
    assert "generating faces: 50 % of 4, " in capsys.readouterr().err
    write_synthetic_faces(tmp_path / "quiet", generator, 4, 0)
    assert capsys.readouterr().err == ""
