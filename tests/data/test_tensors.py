"""Splits decoded to batches: order, both memory modes, images that cannot be read."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image

from ke2nt.data.sample import FaceSample, FaceSplit
from ke2nt.data.tensors import FaceTensors
from ke2nt.errors import DataError


def make_split(samples) -> FaceSplit:
    return FaceSplit("test", "train", ("a", "b"), tuple(samples))


@pytest.fixture
def split(tmp_path):
    """Seven gray images, image i of value 10·i; number 3 is broken."""
    samples = []
    for i in range(7):
        path = tmp_path / f"{i}.png"
        if i == 3:
            path.write_bytes(b"not an image")
        else:
            Image.new("L", (20, 20), 10 * i).save(path)
        samples.append(FaceSample(path.name, path, i % 2))
    return make_split(samples)


@pytest.mark.parametrize("memory", ["ram", "lazy"])
def test_pixels_match_the_indices(split, memory):
    tensors = FaceTensors(split, 16, memory=memory, workers=0)
    order = torch.tensor([6, 0, 5, 2, 1, 4])
    batches = list(tensors.batches(4, order=order))

    assert [len(b.indices) for b in batches] == [4, 2]
    assert torch.cat([b.indices for b in batches]).tolist() == order.tolist()
    for batch in batches:
        assert batch.pixels.dtype == torch.uint8
        assert batch.pixels.shape[1:] == (3, 16, 16)
        assert batch.pixels[:, 0, 8, 8].tolist() == (10 * batch.indices).tolist()


@pytest.mark.parametrize("memory", ["ram", "lazy"])
def test_unreadable_image_is_left_out_and_named(split, memory):
    tensors = FaceTensors(split, 16, memory=memory, workers=0)
    seen = torch.cat([b.indices for b in tensors.batches(2)]).tolist()

    assert seen == [0, 1, 2, 4, 5, 6]
    assert list(tensors.failed) == ["3.png"]
    assert tensors.usable.tolist() == seen

    asked = torch.cat([b.indices for b in tensors.batches(2, order=torch.tensor([3, 5, 3]))])
    assert asked.tolist() == [5]


@pytest.mark.parametrize("memory", ["ram", "lazy"])
def test_an_order_gives_the_same_batches_every_time(split, memory):
    tensors = FaceTensors(split, 16, memory=memory, workers=0)
    order = torch.tensor([5, 3, 0, 1, 3, 3, 6])
    for keep_empty, expected in ((True, [[5], [0, 1], [], [6]]), (False, [[5], [0, 1], [6]])):
        batches = list(tensors.batches(2, order=order, keep_empty=keep_empty))
        assert [b.indices.tolist() for b in batches] == expected
        for batch in batches:
            assert batch.pixels.shape == (len(batch.indices), 3, 16, 16)
            assert batch.pixels[:, 0, 8, 8].tolist() == (10 * batch.indices).tolist()


def test_images_that_failed_in_another_process_are_left_out(split, monkeypatch):
    others = {"3.png": "broken", "5.png": "gone"}
    monkeypatch.setattr("ke2nt.data.tensors.gather_objects", lambda mine: [mine, others])
    tensors = FaceTensors(split, 16, memory="lazy", workers=0)
    tensors.agree()
    assert tensors.failed == {"3.png": "broken", "5.png": "gone"}
    assert torch.cat([b.indices for b in tensors.batches(2)]).tolist() == [0, 1, 2, 4, 6]


@pytest.mark.parametrize("workers", [0, 1])
def test_reading_does_not_use_the_global_generator(split, workers):
    before = torch.get_rng_state()
    list(FaceTensors(split, 16, memory="lazy", workers=workers).batches(2))
    assert torch.equal(torch.get_rng_state(), before)


def test_lazy_decoding_in_worker_processes_is_the_same(split):
    lazy = FaceTensors(split, 16, memory="lazy", workers=2)
    ram = FaceTensors(split, 16, memory="ram")
    for a, b in zip(lazy.batches(3, order=ram.usable), ram.batches(3), strict=True):
        assert torch.equal(a.pixels, b.pixels)
        assert torch.equal(a.indices, b.indices)
    assert lazy.failed == {}  # the broken one was not asked for


def test_auto_memory_takes_ram_for_a_small_split(split):
    tensors = FaceTensors(split, 16)
    assert list(tensors.failed) == ["3.png"]  # known before the first pass


def test_pixels_in_memory_need_no_file():
    face = np.full((12, 12, 3), (10, 200, 30), dtype=np.uint8)
    tensors = FaceTensors(make_split([FaceSample("x", face, 0)]), 12)
    (batch,) = tensors.batches(8)
    assert batch.pixels[0, :, 4, 4].tolist() == [10, 200, 30]


def test_drop_last_keeps_whole_batches_only(split):
    tensors = FaceTensors(split, 16)
    assert [len(b.indices) for b in tensors.batches(4, drop_last=True)] == [4]
    assert [len(b.indices) for b in tensors.batches(100, drop_last=True)] == [6]


def test_split_without_a_readable_image_is_an_error(tmp_path):
    bad = tmp_path / "bad.png"
    bad.write_bytes(b"")
    with pytest.raises(DataError, match=r"none of the 1 images.*bad\.png"):
        FaceTensors(make_split([FaceSample("bad.png", bad, 0)]), 16)


def test_empty_split_is_an_error():
    with pytest.raises(DataError, match="empty"):
        FaceTensors(make_split([]), 16)
