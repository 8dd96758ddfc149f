"""Determinism, balance, identities, attributes, the reader, and bad arguments."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from ke2nt.datasets.drawn import DrawnReader
from ke2nt.drawn.dataset import SPLITS, DrawnFaces
from ke2nt.drawn.identity import Identity
from ke2nt.drawn.traits import AGES, GENDERS, SKINS
from ke2nt.errors import DataError, Ke2ntError, LabelError
from ke2nt.labels import CANONICAL, DATASET_LABELS
from ke2nt.runtime.digest import digest_bytes
from ke2nt.runtime.renamed import RenamedWarning


def digest(faces: DrawnFaces, indices) -> str:
    return digest_bytes(b"".join(faces.render_sample(i).image.tobytes() for i in indices))


def test_two_runs_draw_equal_pixels():
    order = range(12)
    assert digest(DrawnFaces(100, seed=5), order) == digest(DrawnFaces(100, seed=5), order)
    assert digest(DrawnFaces(100, seed=5), order) != digest(DrawnFaces(100, seed=6), order)


def test_samples_are_independent():
    alone = DrawnFaces(100, seed=5).render_sample(37)
    faces = DrawnFaces(100, seed=5)
    for index in (90, 3, 37):
        last = faces.render_sample(index)

    assert np.array_equal(alone.image, last.image)
    assert alone.attributes == last.attributes

    longer = DrawnFaces(200, seed=5, identities=10).render_sample(37)
    assert np.array_equal(
        longer.image, DrawnFaces(100, seed=5, identities=10).render_sample(37).image
    )


def test_masks_do_not_change_the_image():
    faces = DrawnFaces(40)
    assert np.array_equal(
        faces.render_sample(5, masks=True).image, faces.render_sample(5, masks=False).image
    )


def test_workers_do_not_change_the_images():
    faces = DrawnFaces(70, seed=3, size=16)
    indices = list(range(70))
    one = [face.image for face in faces.render(indices, workers=1)]
    two = [face.image for face in faces.render(indices, workers=2)]
    assert np.array_equal(one, two)


def test_splits_share_no_identity_and_hold_every_face():
    faces = DrawnFaces(480, seed=1)
    people = {s: {faces.identity_of(i) for i in faces.indices(s)} for s in SPLITS}

    assert sum(len(faces.indices(s)) for s in SPLITS) == 480
    assert not people["train"] & people["val"]
    assert not people["train"] & people["test"]
    assert not people["val"] & people["test"]
    assert len(people["train"]) / faces.identity_count == pytest.approx(0.7, abs=0.05)


@pytest.mark.parametrize("split", list(SPLITS))
def test_classes_are_balanced_within_each_split(split):
    faces = DrawnFaces(480, seed=1)
    counts = Counter(faces.label_of(i) for i in faces.indices(split))
    assert len(counts) == len(CANONICAL)
    assert max(counts.values()) == min(counts.values())


def test_same_subject_looks_the_same():
    faces = DrawnFaces(160, identities=5)
    first, again = faces.render_sample(2), faces.render_sample(2 + 5 * 8)
    assert first.subject == again.subject
    personal = set(first.attributes) - {"intensity", "style"}
    assert all(first.attributes[key] == again.attributes[key] for key in personal)


def test_attributes_are_complete_words():
    faces = DrawnFaces(160, seed=9, styles=("photo", "cartoon"))
    keys = {
        *("gender", "age", "skin", "face", "hair", "hair_color", "eye_color"),
        *("glasses", "beard", "freckles", "intensity", "style"),
    }
    styles = set()
    for index in range(0, 160, 9):
        face = faces.render_sample(index)
        assert set(face.attributes) == keys
        assert all(isinstance(value, str) and value for value in face.attributes.values())
        assert float(face.attributes["intensity"]) == pytest.approx(face.intensity, abs=1e-3)
        styles.add(face.attributes["style"])
    assert styles == {"photo", "cartoon"}


def test_identities_cover_groups_and_respect_nature():
    people = [Identity.sample(np.random.default_rng(i)) for i in range(300)]
    for key, values in (("gender", GENDERS), ("age", AGES), ("skin", tuple(SKINS))):
        counts = Counter(person.attributes[key] for person in people)
        assert set(counts) == set(values)
        assert min(counts.values()) > 30
    bearded = [p.attributes for p in people if p.attributes["beard"] != "none"]

    assert bearded
    assert all(p["gender"] == "male" and p["age"] != "child" for p in bearded)

    old = [p.wrinkles for p in people if p.attributes["age"] == "old"]
    young = [p.wrinkles for p in people if p.attributes["age"] == "child"]
    assert min(old) > max(young)


def test_intensity_range():
    faces = DrawnFaces(240, size=16, min_intensity=0.6)
    samples = [faces.render_sample(i) for i in range(64)]

    assert all(f.intensity == 0 for f in samples if f.expression == "neutral")

    levels = [f.intensity for f in samples if f.expression != "neutral"]
    assert min(levels) >= 0.6
    assert max(levels) <= 1
    assert max(levels) - min(levels) > 0.3


def test_custom_classes_keep_their_order():
    faces = DrawnFaces(30, size=16, classes=DATASET_LABELS["rafdb"])
    assert [faces.render_sample(i).expression for i in range(7)] == list(DATASET_LABELS["rafdb"])
    other = faces.render_sample(0, expression="contempt", intensity=1.0)
    assert (other.label, other.expression) == (-1, "contempt")


def test_to_split_gives_samples_in_memory():
    split = DrawnFaces(64, size=32).to_split("val")
    assert (split.dataset, split.split, split.classes) == ("drawn", "val", CANONICAL)
    assert len({sample.name for sample in split.samples}) == len(split)
    for sample in split.samples:
        assert sample.source.shape == (32, 32, 3)
        assert sample.source.dtype == np.uint8
        assert sample.subject
    assert set(split.labels()) == set(range(8))


def test_reader_draws_the_faces_of_the_set():
    reader = DrawnReader(count=64, size=24, seed=3, style="sketch")
    assert (reader.name, reader.splits) == ("drawn", ("train", "val", "test"))
    assert reader.classes == CANONICAL

    split = reader.load("test")
    faces = DrawnFaces(64, size=24, seed=3, styles=("sketch",))
    index = faces.indices("test")[0]
    assert np.array_equal(split.samples[0].source, faces.render_sample(index).image)


def test_reader_refuses_a_folder(tmp_path):
    with pytest.raises(DataError, match="manifest"):
        DrawnReader(tmp_path)


@pytest.mark.parametrize(
    ("options", "word"),
    [
        ({"count": 0}, "count"),
        ({"count": 2.5}, "count"),
        ({"size": 8}, "size"),
        ({"size": True}, "size"),
        ({"identities": 2}, "identities"),
        ({"min_intensity": 1.5}, "min_intensity"),
        ({"occlusion": -0.1}, "occlusion"),
        ({"styles": ("fotos",)}, "photo"),
        ({"styles": ()}, "style"),
        ({"classes": ()}, "classes"),
        ({"classes": ("fear", "fear")}, "classes"),
        ({"classes": ("fear", "boredom")}, "boredom"),
    ],
)
def test_errors_name_the_invalid_argument(options, word):
    with pytest.raises(Ke2ntError, match=word):
        DrawnFaces(**{"count": 40, **options})


@pytest.mark.parametrize("index", [-1, 40])
def test_index_out_of_range(index):
    with pytest.raises(DataError, match="0 to 39"):
        DrawnFaces(40).render_sample(index)


def test_unknown_split_style_and_expression():
    faces = DrawnFaces(40)
    with pytest.raises(DataError, match="'train'"):
        faces.indices("trian")
    with pytest.raises(DataError, match="sketch"):
        faces.render_sample(0, style="sketches")
    with pytest.raises(LabelError, match="envy"):
        faces.render_sample(0, expression="envy")
    with pytest.raises(LabelError, match="0 to 1"):
        faces.render_sample(1, intensity=2.0)


def test_old_style_name():
    with pytest.warns(RenamedWarning, match="'gray48'"):
        faces = DrawnFaces(40, size=16, styles=("grey48",))
    assert faces == DrawnFaces(40, size=16, styles=("gray48",))
    with pytest.warns(RenamedWarning, match="'gray48'"):
        face = faces.render_sample(3, style="grey48")
    assert face.style == face.attributes["style"] == "gray48"
    with pytest.warns(RenamedWarning, match="'gray48'"):
        assert len(DrawnReader(count=40, size=16, style="grey48").load("val")) > 0


def test_too_few_faces_for_three_splits():
    with pytest.raises(DataError, match="17 or more"):
        DrawnFaces(16).to_split("train")
    assert all(DrawnFaces(17).indices(split) for split in SPLITS)
