"""Recognizers from words alone."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from tiny_towers import KINDS, SIZE, vision_language_model

from ke2nt.data.sample import FaceSample, FaceSplit
from ke2nt.errors import ModelError, PromptError
from ke2nt.evaluation.zero_shot import class_logits, zero_shot
from ke2nt.models.ke2nt import KE2NT
from ke2nt.models.load import load_model

CLASSES = ("anger", "neutral", "happiness")


@pytest.fixture(scope="session")
def towers(tmp_path_factory):
    root = tmp_path_factory.mktemp("towers")
    return lambda kind: vision_language_model(root, kind)


@pytest.fixture
def split():
    rng = np.random.default_rng(4)
    faces = rng.integers(0, 256, (6, SIZE, SIZE, 3), dtype=np.uint8)
    samples = [FaceSample(f"{i}.png", face, label=i % 3) for i, face in enumerate(faces)]
    return FaceSplit("tiny", "test", CLASSES, tuple(samples))


@pytest.mark.parametrize("kind", KINDS)
def test_a_saved_recognizer_computes_what_zero_shot_does(kind, towers, split, tmp_path):
    spec = towers(kind)
    before = torch.random.get_rng_state()
    KE2NT.from_vlm(spec, "simple", CLASSES).save_pretrained(tmp_path / "model")
    assert torch.equal(torch.random.get_rng_state(), before)

    model = load_model(tmp_path / "model")
    result = zero_shot(spec, "simple", split)

    with torch.no_grad():
        found = model(model.preprocessing([sample.source for sample in split.samples])).logits
    expected = class_logits(result.images, result.bank)
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-4)
    assert model.classes == CLASSES
    card = (tmp_path / "model" / "README.md").read_text()
    assert (
        f"**zero-shot** recognizer. Its image encoder is that of {model.backbone.tower.id}" in card
    )


def test_it_is_the_same_each_time(towers):
    first, second = (KE2NT.from_vlm(towers("open_clip-clip"), classes=CLASSES) for _ in range(2))
    other = second.state_dict()
    assert all(torch.equal(value, other[name]) for name, value in first.state_dict().items())


def test_new_words_are_classes(towers):
    model = KE2NT.from_vlm(towers("open_clip-clip"), "simple", ["calm", "surprised_look"])
    assert model.classes == ("calm", "surprised_look")


def test_wrong_names_are_refused_before_the_model_is_loaded(towers, monkeypatch):
    monkeypatch.setattr("ke2nt.vlm.open_clip.OpenClipModel._load_model", None)
    with pytest.raises(PromptError, match="simpel"):
        KE2NT.from_vlm(towers("open_clip-clip"), "simpel")
    with pytest.raises(ModelError, match="minilm has no image tower"):
        KE2NT.from_vlm("minilm")
