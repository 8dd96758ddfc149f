"""What training gets of a target: images in a fixed stream, and no label."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from adapt_domains import CLASSES, draw

from ke2nt.adapt.target_images import UNKNOWN, TargetStream, load_target, unlabeled
from ke2nt.config.adapt import TargetConfig
from ke2nt.data.preprocessing import Preprocessing
from ke2nt.data.sample import FaceSample, FaceSplit
from ke2nt.data.tensors import FaceTensors
from ke2nt.errors import DataError, LabelError, LayoutError

PREPROCESSING = Preprocessing(image_size=24)


def load(root, classes=CLASSES, **options):
    return load_target(TargetConfig(root=str(root), workers=0, **options), classes, PREPROCESSING)


def tensors(n):
    rng = np.random.default_rng(0)
    samples = tuple(
        FaceSample(f"{i}", rng.integers(0, 255, (8, 8, 3), dtype=np.uint8), UNKNOWN)
        for i in range(n)
    )
    return FaceTensors(FaceSplit("folder", "all", ("a", "b"), samples), 8)


class Sealed(FaceSample):
    """A sample of which nothing but name and image may be read."""

    def __getattribute__(self, name):
        if name in ("label", "distribution", "subject", "attributes"):
            raise AssertionError(f"{name} was read")
        return super().__getattribute__(name)


def test_nothing_but_names_and_images_is_read():
    split = FaceSplit("x", "train", ("a",), tuple(Sealed(f"{i}", None, i) for i in range(3)))
    bare = unlabeled(split, ("b", "c"))
    assert bare.labels().tolist() == [UNKNOWN] * 3
    assert bare.classes == ("b", "c")
    with pytest.raises(AssertionError, match="label was read"):
        split.labels()


def test_a_labeled_target_gives_images_and_keeps_its_labels_apart(domains):
    target = load(domains / "target")
    assert set(target.images.split.labels()) == {UNKNOWN}
    assert target.report is target.images
    assert sorted(set(target.truth.labels())) == [0, 1, 2]
    assert target.mapping.describe() == "label sets agree"


@pytest.mark.parametrize("options", [{}, {"labeled": False}])
def test_bare_images_are_a_target(domains, options):
    target = load(domains / "bare", **options)
    assert len(target.images) == 30
    assert target.images.split.samples[-1].name == "deep/29.png"
    assert target.truth is None
    assert target.mapping is None


def test_folders_that_are_no_classes_are_told_so_and_may_be_ignored(tmp_path):
    draw(tmp_path, 2, shift=0, seed=0, classes=("ann", "bob"))
    with pytest.raises(LabelError, match=r"share no class.*ann, bob.*target\.labeled=false"):
        load(tmp_path)
    assert load(tmp_path, labeled=False).truth is None


def test_a_partly_shared_label_set_says_what_is_left_out(tmp_path):
    draw(tmp_path, 2, shift=0, seed=0, classes=("neutral", "fear"))
    described = load(tmp_path).mapping.describe()
    assert "dropped from the data: fear" in described
    assert "happiness, anger" in described


def test_a_limit_spreads_over_the_split(domains):
    target = load(domains / "target", limit=6)
    classes = [s.name.split("/")[0] for s in target.images.split.samples]
    assert sorted(classes) == ["anger"] * 2 + ["happiness"] * 2 + ["neutral"] * 2
    assert len(target.truth) == 6


def test_one_image_is_no_domain(tmp_path, domains):
    (tmp_path / "face.png").write_bytes((domains / "bare" / "00.png").read_bytes())
    with pytest.raises(DataError, match=r"too few target images.*ke2nt predict"):
        load(tmp_path)
    (tmp_path / "broken.png").write_bytes(b"no image")
    with pytest.raises(DataError, match="found 1"):
        load(tmp_path)


def test_an_empty_folder_is_a_layout_error(tmp_path):
    with pytest.raises(LayoutError, match="an empty folder"):
        load(tmp_path)


def test_unreadable_images_are_left_out_and_named(tmp_path, domains):
    for i in range(4):
        (tmp_path / f"{i}.png").write_bytes((domains / "bare" / "00.png").read_bytes())
    (tmp_path / "broken.png").write_bytes(b"no image")
    for memory in ("ram", "lazy"):
        target = load(tmp_path, memory=memory)
        assert list(target.images.failed) == ["broken.png"]
        stream = TargetStream(target.images, 4, seed=0)
        assert sorted(stream.batch(0).indices.tolist()) == [0, 1, 2, 3]


def test_the_stream_shows_every_image_before_any_again():
    stream = TargetStream(tensors(10), 4, seed=3)
    seen = torch.cat([stream.indices(step) for step in range(5)])
    assert sorted(seen[:10].tolist()) == list(range(10))
    assert sorted(seen[10:].tolist()) == list(range(10))
    assert seen[:10].tolist() != seen[10:].tolist()


def test_a_batch_is_a_function_of_its_number():
    walked = TargetStream(tensors(10), 4, seed=3)
    for step in range(7):
        batch = walked.batch(step)
    jumped = TargetStream(tensors(10), 4, seed=3).batch(6)
    assert torch.equal(batch.indices, jumped.indices)
    assert torch.equal(batch.pixels, jumped.pixels)
    other = TargetStream(tensors(10), 4, seed=4)
    assert not torch.equal(other.indices(6), jumped.indices)


def test_a_small_domain_gives_small_batches_and_shares_are_rows():
    stream = TargetStream(tensors(3), 32, seed=0)
    assert sorted(stream.batch(9).indices.tolist()) == [0, 1, 2]
    whole = TargetStream(tensors(9), 4, seed=0)
    parts = [whole.batch(1, slice(rank, None, 2)).indices for rank in (0, 1)]
    assert torch.equal(torch.stack(parts, dim=1).flatten(), whole.indices(1))
