"""What training sees of a target: images in a fixed stream, and no label."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from adapt_domains import CLASSES, draw

from ke2nt.adapt.target_images import UNLABELED, load_target, strip_labels
from ke2nt.adapt.target_stream import TargetStream
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
        FaceSample(f"{i}", rng.integers(0, 255, (8, 8, 3), dtype=np.uint8), UNLABELED)
        for i in range(n)
    )
    return FaceTensors(FaceSplit("folder", "all", ("a", "b"), samples), 8)


class Sealed(FaceSample):
    """A sample of which nothing but name and image may be read."""

    def __getattribute__(self, name):
        if name in ("label", "distribution", "subject", "attributes"):
            raise AssertionError(f"{name} was read")
        return super().__getattribute__(name)


def test_only_names_and_images_are_read():
    split = FaceSplit("x", "train", ("a",), tuple(Sealed(f"{i}", None, i) for i in range(3)))
    bare = strip_labels(split, ("b", "c"))
    assert bare.labels().tolist() == [UNLABELED] * 3
    assert bare.classes == ("b", "c")
    with pytest.raises(AssertionError, match="label was read"):
        split.labels()


def test_labeled_target_keeps_labels_separate(domains):
    target = load(domains / "target")
    assert set(target.images.split.labels()) == {UNLABELED}
    assert target.report_images is target.images
    assert sorted(set(target.labeled_split.labels())) == [0, 1, 2]
    assert target.mapping.describe() == "label sets agree"


@pytest.mark.parametrize("options", [{}, {"labeled": False}])
def test_unsorted_images_are_a_target(domains, options):
    target = load(domains / "bare", **options)
    assert len(target.images) == 30
    assert target.images.split.samples[-1].name == "deep/29.png"
    assert target.labeled_split is None
    assert target.mapping is None


def test_folders_other_than_classes_raise_and_can_be_ignored(tmp_path):
    draw(tmp_path, 2, shift=0, seed=0, classes=("ann", "bob"))
    with pytest.raises(LabelError, match=r"share no class.*ann, bob.*target\.labeled=false"):
        load(tmp_path)
    assert load(tmp_path, labeled=False).labeled_split is None


def test_partly_shared_label_set_describes_dropped_classes(tmp_path):
    draw(tmp_path, 2, shift=0, seed=0, classes=("neutral", "fear"))
    described = load(tmp_path).mapping.describe()
    assert "dropped from the data: fear" in described
    assert "happiness, anger" in described


def test_limit_spreads_over_the_split(domains):
    target = load(domains / "target", limit=6)
    classes = [s.name.split("/")[0] for s in target.images.split.samples]
    assert sorted(classes) == ["anger"] * 2 + ["happiness"] * 2 + ["neutral"] * 2
    assert len(target.labeled_split) == 6


def test_single_image_is_not_a_domain(tmp_path, domains):
    (tmp_path / "face.png").write_bytes((domains / "bare" / "00.png").read_bytes())
    with pytest.raises(DataError, match=r"too few target images.*ke2nt predict"):
        load(tmp_path)
    (tmp_path / "broken.png").write_bytes(b"no image")
    with pytest.raises(DataError, match="found 1"):
        load(tmp_path)


def test_empty_folder_is_a_layout_error(tmp_path):
    with pytest.raises(LayoutError, match="an empty folder"):
        load(tmp_path)


def test_unreadable_images_are_skipped_and_named(tmp_path, domains):
    for i in range(4):
        (tmp_path / f"{i}.png").write_bytes((domains / "bare" / "00.png").read_bytes())
    (tmp_path / "broken.png").write_bytes(b"no image")
    for memory in ("ram", "lazy"):
        target = load(tmp_path, memory=memory)
        assert list(target.images.failed) == ["broken.png"]
        stream = TargetStream(target.images, 4, seed=0)
        assert sorted(stream.batch(0).indices.tolist()) == [0, 1, 2, 3]


def test_stream_shows_every_image_before_repeating():
    stream = TargetStream(tensors(10), 4, seed=3)
    seen = torch.cat([stream.indices(step) for step in range(5)])
    assert sorted(seen[:10].tolist()) == list(range(10))
    assert sorted(seen[10:].tolist()) == list(range(10))
    assert seen[:10].tolist() != seen[10:].tolist()


def test_batch_depends_on_its_number_alone():
    walked = TargetStream(tensors(10), 4, seed=3)
    for step in range(7):
        batch = walked.batch(step)
    jumped = TargetStream(tensors(10), 4, seed=3).batch(6)
    assert torch.equal(batch.indices, jumped.indices)
    assert torch.equal(batch.pixels, jumped.pixels)
    other = TargetStream(tensors(10), 4, seed=4)
    assert not torch.equal(other.indices(6), jumped.indices)


def test_small_domain_gives_small_batches_and_shares_are_rows():
    stream = TargetStream(tensors(3), 32, seed=0)
    assert sorted(stream.batch(9).indices.tolist()) == [0, 1, 2]
    whole = TargetStream(tensors(9), 4, seed=0)
    parts = [whole.batch(1, slice(rank, None, 2)).indices for rank in (0, 1)]
    assert torch.equal(torch.stack(parts, dim=1).flatten(), whole.indices(1))
