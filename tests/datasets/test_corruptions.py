"""Corruptions: effect on pixels, determinism, and the reader that applies them."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image
from reader_trees import write_image

from ke2nt.banks.split_digest import split_digest
from ke2nt.data.corruption import KINDS, LONGEST_SIDE, SEVERITIES, Corruption, corrupt
from ke2nt.data.images import decode
from ke2nt.data.sample import ChangedImage, FaceSample, FaceSplit
from ke2nt.data.tensors import FaceTensors
from ke2nt.datasets.catalog import get_reader
from ke2nt.datasets.info import dataset_info
from ke2nt.datasets.pack import pack_dataset
from ke2nt.errors import DataError, ImageReadError, LayoutError


@pytest.fixture(scope="module")
def face():
    """A drawn face, 64 px."""
    return get_reader("drawn", count=24, size=64).load("val").samples[0].source


@pytest.fixture
def folder(tmp_path):
    for split in ("train", "val"):
        for seed, name in enumerate(("anger", "happiness")):
            for i in range(3):
                write_image(tmp_path / "faces" / split / name / f"{i}.png", 10 * seed + i, 20)
    return tmp_path / "faces"


def squared_change(face, kind, severity):
    changed = Corruption(kind, severity, 7)(face)
    return float(((changed.astype(float) - face) ** 2).mean())


@pytest.mark.parametrize("kind", KINDS)
def test_each_severity_is_worse_than_the_one_before(face, kind):
    changes = [squared_change(face, kind, severity) for severity in range(1, 6)]
    assert changes[0] > 0
    assert changes == sorted(changes)
    assert len(SEVERITIES[kind]) == 5


@pytest.mark.parametrize("kind", KINDS)
def test_result_depends_on_the_seed(face, kind):
    first, again, other = (Corruption(kind, 3, seed)(face) for seed in (1, 1, 2))
    assert first.dtype == np.uint8
    assert first.shape == face.shape
    assert np.array_equal(first, again)
    drawn = kind in ("motion_blur", "gaussian_noise", "shot_noise", "low_light", "occlusion")
    assert np.array_equal(first, other) != drawn


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("shape", [(1, 1), (3, 40), (48, 48)])
def test_gray_images_of_any_shape_stay_gray(kind, shape):
    gray = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    changed = Corruption(kind, 5, 0)(np.repeat(gray[:, :, None], 3, axis=2))
    assert changed.shape == (*shape, 3)
    assert (changed == changed[:, :, :1]).all()


def test_large_images_are_shrunk_first():
    pixels = np.zeros((200, 448, 3), np.uint8)
    assert Corruption("contrast", 1, 0)(pixels).shape == (50, LONGEST_SIDE, 3)


def test_gaussian_blur_against_a_slow_sum():
    rng = np.random.default_rng(3)
    image = rng.integers(0, 256, (16, 16, 3), np.uint8)
    sigma = 1.5 * 16 / 64
    reach = int(np.ceil(3 * sigma))
    found = Corruption("gaussian_blur", 5, 0)(image)
    for row, column, channel in ((0, 0, 0), (8, 5, 1), (15, 2, 2)):
        total = weight = 0.0
        for dy in range(-reach, reach + 1):
            for dx in range(-reach, reach + 1):
                w = np.exp(-(dx * dx + dy * dy) / (2 * sigma * sigma))
                y, x = min(max(row + dy, 0), 15), min(max(column + dx, 0), 15)
                total += w * image[y, x, channel]
                weight += w
        assert found[row, column, channel] == pytest.approx(total / weight, abs=0.51)


def test_noise_has_the_documented_strength():
    gray = np.full((112, 112, 3), 128, np.uint8)
    noisy = Corruption("gaussian_noise", 2, 0)(gray)[:, :, 0] / 255
    assert noisy.std() == pytest.approx(0.08, rel=0.05)
    shot = Corruption("shot_noise", 1, 0)(gray)[:, :, 0] / 255
    assert shot.std() == pytest.approx(np.sqrt(128 / 255 / 250), rel=0.05)
    assert shot.mean() == pytest.approx(128 / 255, abs=0.005)


def test_contrast_light_and_cover_have_the_documented_strength(face):
    flat = Corruption("contrast", 5, 0)(face).astype(float)
    assert flat.std(axis=(0, 1)) == pytest.approx(0.05 * face.std(axis=(0, 1)), abs=0.3)
    assert flat.mean(axis=(0, 1)) == pytest.approx(face.mean(axis=(0, 1)), abs=0.6)

    white = np.full((112, 112, 3), 255, np.uint8)
    dark = Corruption("low_light", 2, 0)(white)[:, :, 0].mean() / 255

    assert dark == pytest.approx(1.055 * 0.25 ** (1 / 2.4) - 0.055, abs=0.01)

    covered = (Corruption("occlusion", 4, 0)(white) != 255).any(axis=2)
    assert covered.mean() == pytest.approx(0.3, abs=0.01)

    rows, columns = np.nonzero(covered)
    assert covered[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1].all()


def test_motion_blur_keeps_light_and_goes_one_way():
    dot = np.zeros((64, 64, 3), np.uint8)
    dot[32, 32] = 255
    trail = Corruption("motion_blur", 3, 5)(dot)[:, :, 0].astype(float)

    assert trail.sum() == pytest.approx(255, rel=0.1)

    columns = np.nonzero(trail)[1]
    assert columns.min() < 32 < columns.max() + 1
    assert np.ptp(columns) >= 3


def test_low_resolution_loses_detail():
    board = np.indices((64, 64)).sum(axis=0) % 2 * 255
    board = np.repeat(board[:, :, None], 3, axis=2).astype(np.uint8)
    assert Corruption("low_resolution", 3, 0)(board).std() < 40 < board.std()


def test_jpeg_equals_pillow(face, tmp_path):
    Image.fromarray(face).save(tmp_path / "x.jpg", quality=25)
    assert np.array_equal(Corruption("jpeg", 5, 0)(face), decode(tmp_path / "x.jpg"))


def test_reader_changes_pixels_only(folder):
    plain = get_reader("folder", folder).load("val")
    reader = get_reader("corruptions", folder, of="folder", kind="gaussian_noise", severity=2)
    worse = reader.load("val")

    assert reader.splits == ("train", "val")
    assert reader.classes == plain.classes == worse.classes
    assert worse.dataset == "folder gaussian_noise 2"
    assert [(s.name, s.label) for s in worse.samples] == [(s.name, s.label) for s in plain.samples]

    pixels = [decode(s.source) for s in worse.samples]
    assert not np.array_equal(pixels[0], decode(plain.samples[0].source))

    for split in (reader.load("val"), worse.subset([3])):  # whatever is around a picture
        last = split.samples[-1]
        position = [s.name for s in worse.samples].index(last.name)
        assert np.array_equal(decode(last.source), pixels[position])


def test_options_reach_the_wrapped_reader(folder):
    options = {"of": "folder", "kind": "jpeg", "classes": "happiness,anger"}
    assert get_reader("corruptions", folder, **options).classes == ("happiness", "anger")
    with pytest.raises(DataError, match="folder has no option 'severty'"):
        get_reader("corruptions", folder, of="folder", severty=1)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({}, "needs the dataset"),
        ({"of": "corruptions"}, "needs the dataset"),
        ({"of": "fodler"}, "Did you mean 'folder'"),
        ({"of": "folder", "kind": "jpg"}, "unknown corruption 'jpg'.*Did you mean 'jpeg'"),
        ({"of": "folder", "severity": 6}, "whole number 1 to 5; found 6"),
        ({"of": "folder", "severity": True}, "expected int; found True"),
    ],
)
def test_errors_name_the_option(folder, options, words):
    with pytest.raises(DataError, match=words):
        get_reader("corruptions", folder, **options)


def test_error_names_the_wrapped_dataset(tmp_path):
    with pytest.raises(LayoutError, match="layout of folder"):
        get_reader("corruptions", tmp_path, of="folder", kind="jpeg")


def test_mixed_gives_each_image_one_kind(face):
    samples = tuple(FaceSample(f"{i}.png", face, 0) for i in range(60))
    split = FaceSplit("x", "test", ("neutral",), samples)
    kinds = [s.source.change.kind for s in corrupt(split, "mixed", 3).samples]

    assert set(kinds) == set(KINDS)
    assert kinds == [s.source.change.kind for s in corrupt(split, "mixed", 5).samples]
    with pytest.raises(DataError, match="changed already"):
        corrupt(corrupt(split, "jpeg", 1), "jpeg", 1)


@pytest.mark.parametrize(("memory", "workers"), [("ram", 2), ("lazy", 0), ("lazy", 2)])
def test_batches_and_broken_images(folder, memory, workers):
    (folder / "val" / "anger" / "1.png").write_bytes(b"broken")
    split = get_reader("corruptions", folder, of="folder", kind="gaussian_noise").load("val")
    images = FaceTensors(split, 16, memory=memory, workers=workers)
    batches = list(images.batches(4))

    assert list(images.failed) == ["val/anger/1.png"]

    found = torch.cat([batch.pixels for batch in batches])
    assert found.shape == (5, 3, 16, 16)

    first = decode(split.samples[0].source, size=16)
    assert np.array_equal(found[0].numpy(), first.transpose(2, 0, 1))
    with pytest.raises(ImageReadError, match=r"1\.png"):
        decode(split.samples[1].source)


def test_info_packing_and_digests(folder, tmp_path):
    reader = get_reader("corruptions", folder, of="folder", kind="jpeg", severity=5)
    facts = dataset_info(reader)["splits"]["val"]

    assert (facts["samples"], facts["images_missing"], facts["image_size"]) == (6, 0, [20, 20])

    pack_dataset(reader, tmp_path / "packed", 20, splits=["val"], quiet=True)
    packed = get_reader("packed", tmp_path / "packed").load("val")
    split = reader.load("val")

    for a, b in zip(packed.samples, split.samples, strict=True):
        assert np.array_equal(decode(a.source), decode(b.source))

    # The plain dataset and every severity have digests of their own
    digests = {
        split_digest(s, tmp_path)
        for s in (
            split,
            get_reader("folder", folder).load("val"),
            get_reader("corruptions", folder, of="folder", kind="jpeg", severity=4).load("val"),
        )
    }

    assert len(digests) == 3
    assert split_digest(reader.load("val"), tmp_path) in digests


def test_drawn_faces_can_be_changed():
    reader = get_reader("corruptions", of="drawn", count=24, size=32, kind="jpeg")
    assert isinstance(reader.load("test").samples[0].source, ChangedImage)
    assert len(reader.index("test")) == len(reader.load("test"))
