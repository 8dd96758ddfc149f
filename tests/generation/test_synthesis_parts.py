"""Pixels, frozen features, sampling to a folder, and what a judge accepts."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from ke2nt.data.preprocessing import Preprocessing
from ke2nt.data.tensors import FaceTensors
from ke2nt.datasets.catalog import get_reader
from ke2nt.errors import DataError, LabelError, ModelError
from ke2nt.generation.networks.acceptance import Confident, probabilities
from ke2nt.generation.networks.generator import FaceGenerator
from ke2nt.generation.networks.identity_features import FrozenFeatures
from ke2nt.generation.networks.pixels import from_pixels, resized, to_pixels, to_uint8
from ke2nt.generation.networks.sampling import write_faces
from ke2nt.models.linear import LinearClassifier

CLASSES = ("neutral", "happiness", "anger")


@pytest.fixture(scope="module")
def made():
    torch.manual_seed(0)
    generator = FaceGenerator(CLASSES, 16, 1, width=4, code_dim=8)
    codes = generator.new_codes(64, torch.Generator().manual_seed(0))
    for _ in range(40):  # statistics to normalize by; without them all faces would be alike
        generator.decode(codes, torch.arange(64) % 3)
    generator.eval()
    return generator


@pytest.fixture(scope="module")
def judge():
    torch.manual_seed(0)
    return LinearClassifier(CLASSES, "test_resnet", 24).eval()


def files(folder):
    return {p.relative_to(folder): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def test_pixels_there_and_back():
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


def test_resizing_lets_gradients_through():
    images = torch.rand(1, 1, 16, 16, requires_grad=True)
    assert resized(images, 16) is images
    resized(images, 24).sum().backward()
    assert images.grad.abs().min() > 0


def test_frozen_features_pass_gradients_to_the_images_alone(judge):
    space = FrozenFeatures(judge, stage=1).train()
    assert not judge.training
    faces = torch.rand(2, 1, 16, 16, requires_grad=True)
    features = space(faces)
    assert features.shape[0] == 2
    features.square().sum().backward()
    assert faces.grad.abs().sum() > 0
    assert all(p.grad is None for p in judge.parameters())


def test_a_stage_that_is_not_there_is_named(judge):
    with pytest.raises(ModelError, match="no such stage"):
        FrozenFeatures(judge, stage=9)


@pytest.mark.parametrize("reader", ["folder", "manifest"])
def test_readers_take_the_faces_back(made, tmp_path, reader):
    summary = write_faces(tmp_path / "faces", made, 10, 0)
    assert summary["classes"] == {"neutral": 4, "happiness": 3, "anger": 3}
    split = get_reader(reader, tmp_path / "faces").load("train")
    assert split.classes == CLASSES
    assert np.bincount(split.labels()).tolist() == [4, 3, 3]
    images = FaceTensors(split, 16)
    assert not images.failed
    pixels = next(images.batches(10)).pixels
    assert (pixels == pixels[:, :1]).all()  # a gray generator


def test_the_same_seed_gives_the_same_files_and_another_one_others(made, tmp_path):
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        write_faces(tmp_path / name, made, 7, seed)
    a, b, c = (files(tmp_path / name) for name in "abc")
    assert a == b
    assert a.keys() == c.keys()
    assert not any(a[name] == c[name] for name in a if name.suffix == ".png")


def test_more_faces_begin_with_the_same_ones(made, tmp_path):
    few, many = tmp_path / "few", tmp_path / "many"
    write_faces(few, made, 6, 1)
    write_faces(many, made, 200, 1)
    every = files(many)
    assert all(every[k] == v for k, v in files(few).items() if k.suffix == ".png")


def test_a_folder_in_use_is_left_alone(made, tmp_path):
    (tmp_path / "x").write_text("mine")
    with pytest.raises(DataError, match="in use"):
        write_faces(tmp_path, made, 3, 0)
    assert list(tmp_path.iterdir()) == [tmp_path / "x"]


def test_the_judge_keeps_what_it_agrees_with(made, judge, tmp_path):
    accept = Confident(judge, CLASSES, 0.3)
    faces = made.decode(made.new_codes(50, torch.Generator().manual_seed(0)), torch.arange(50) % 3)
    wanted = torch.arange(50) % 3
    kept = accept(faces, wanted)
    chances = probabilities(judge, faces)
    assert kept.tolist() == [chances[i, w].item() >= 0.3 for i, w in enumerate(wanted.tolist())]


def test_a_judge_with_its_classes_in_another_order_is_read_right(made):
    torch.manual_seed(0)
    other = LinearClassifier(("anger", "neutral", "happiness"), "test_resnet", 24).eval()
    faces = made.decode(torch.zeros(3, 8), torch.arange(3))
    chances = probabilities(other, faces)
    least = float(chances[0, 1])
    assert Confident(other, CLASSES, least)(faces, torch.arange(3))[0]
    assert not Confident(other, CLASSES, least + 1e-4)(faces, torch.arange(3))[0]


def test_a_judge_that_never_agrees_or_does_not_know_is_an_error(made, judge, tmp_path):
    with pytest.raises(DataError, match="no face is accepted as neutral"):
        write_faces(tmp_path / "x", made, 3, 0, accept=Confident(judge, CLASSES, 0.99))
    assert not (tmp_path / "x").exists()
    with pytest.raises(LabelError, match="does not know 'fear'"):
        Confident(judge, (*CLASSES, "fear"), 0.5)
