"""Synthetic faces among the training images of an ordinary run."""

from __future__ import annotations

import json
import shutil

import pytest
import torch

from ke2nt.data.preprocessing import Preprocessing
from ke2nt.errors import CheckpointError, ConfigError, LabelError, LayoutError
from ke2nt.generation.networks.generator import FaceGenerator
from ke2nt.generation.networks.sample_faces import write_synthetic_faces
from ke2nt.runtime.seeding import torch_generator
from ke2nt.training.sampling import mix_in_synthetic
from ke2nt.training.train_recognizer import train
from ke2nt.training.training_data import load_training_data

CLASSES = ("neutral", "happiness", "anger")


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("made")
    generator = FaceGenerator(CLASSES, 16, 3, width=4, code_dim=8)
    generator.save(folder / "generator")
    write_synthetic_faces(folder / "faces", generator.eval(), 12, 0)
    return folder


@pytest.fixture
def data(tiny):
    def load(extra):
        config = tiny(f"data.extra={extra}", "model.image_size=24")
        return load_training_data(config, Preprocessing(image_size=24))

    return load


def test_epoch_uses_extra_images_equally_often():
    order, pool = torch.arange(10), torch.arange(10, 14)
    found = mix_in_synthetic(order, pool, 10, torch_generator(0))
    counts = found.bincount(minlength=14)
    assert counts[:10].tolist() == [1] * 10
    assert counts[10:].sum() == 10
    assert counts[10:].max() - counts[10:].min() <= 1
    assert found.tolist() != sorted(found.tolist())
    assert torch.equal(found, mix_in_synthetic(order, pool, 10, torch_generator(0)))
    assert torch.equal(mix_in_synthetic(order, pool, 0, torch_generator(0)), order)


def test_extra_faces_from_a_folder(data, made):
    found = data(f"{{folder: {made / 'faces'}, share: 0.25}}")
    assert (found.num_synthetic, len(found.real_positions), len(found.synthetic_positions)) == (
        12,
        42,
        12,
    )
    assert found.synthetic_per_epoch == 14
    names = [s.name for s in found.train.split.samples[-12:]]
    assert all(name.startswith("extra/train/") for name in names)
    labels = found.targets[-12:].tolist()
    assert [CLASSES[y] for y in labels] == [name.split("/")[2] for name in names]


def test_extra_faces_from_a_generator(data, made):
    found = data(f"{{generator: {made}, count: 7, share: 0.5}}")
    assert (found.num_synthetic, found.synthetic_per_epoch) == (7, 42)
    assert found.targets[-7:].tolist() == [0, 1, 2, 0, 1, 2, 0]
    again = data(f"{{generator: {made}, count: 7, share: 0.5}}")
    pixels = [next(d.train.batches(7, order=d.synthetic_positions)).pixels for d in (found, again)]
    assert torch.equal(*pixels)


def test_run_trains_on_extra_faces_and_resumes(tiny, made):
    config = tiny(f"data.extra={{folder: {made / 'faces'}, share: 0.4}}", "optim.epochs=2")
    run = train(config, quiet=True).run
    assert run.read("run.json")["samples"]["train"] == 54
    checkpoint = sorted((run.path / "checkpoints").iterdir())[-1]
    progress = json.loads((checkpoint / "state.json").read_text())["progress"]
    assert len(progress["records"]) == 2
    train(config, resume=True, quiet=True)


def test_unreadable_extra_images_are_left_out(tiny, made, tmp_path):
    folder = tmp_path / "copy"
    shutil.copytree(made / "faces", folder)
    bad = sorted((folder / "train" / "anger").iterdir())[0]
    bad.write_bytes(b"")
    config = tiny(f"data.extra={{folder: {folder}}}", "model.image_size=24")
    found = load_training_data(config, Preprocessing(image_size=24))
    assert len(found.synthetic_positions) == 11
    assert list(found.failed()) == [f"extra/train/anger/{bad.name}"]


@pytest.mark.parametrize(
    ("extra", "error", "words"),
    [
        ("{share: 0.3}", ConfigError, "either a folder or a generator"),
        ("{folder: a, generator: b}", ConfigError, "either a folder or a generator"),
        ("{folder: nowhere}", LayoutError, "nowhere"),
        ("{generator: nowhere}", CheckpointError, "no saved generator"),
    ],
)
def test_wrong_extra_settings_are_refused(data, extra, error, words):
    with pytest.raises(error, match=words):
        data(extra)


def test_extra_faces_of_unknown_classes_are_refused(tiny, made):
    config = tiny(f"data.extra={{folder: {made / 'faces'}}}", "data.hold_out=[anger]")
    with pytest.raises(LabelError, match="'anger', which is not one of the classes"):
        train(config, quiet=True)
