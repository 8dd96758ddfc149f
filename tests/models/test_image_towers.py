"""Image towers of vision-language models as the encoders of recognizers."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
import torch
from tiny_towers import KINDS, SIZE, vision_language_model

from ke2nt.banks.text_bank import TextBank
from ke2nt.data.sample import FaceSample, FaceSplit
from ke2nt.errors import CheckpointError, ModelError, TextEncoderError
from ke2nt.evaluation.zero_shot import class_logits, zero_shot
from ke2nt.models.ke2nt import KE2NT
from ke2nt.models.linear import LinearClassifier
from ke2nt.models.load import load_model

CLASSES = ("neutral", "happiness", "anger")


@pytest.fixture(scope="session")
def towers(tmp_path_factory):
    root = tmp_path_factory.mktemp("towers")
    return lambda kind: vision_language_model(root, kind)


@pytest.fixture
def split():
    rng = np.random.default_rng(4)
    # one is wider, one taller, one has the size of the towers
    shapes = [(40, 70, 3), (51, 30, 3), (SIZE, SIZE, 3), (90, 90, 3)]
    samples = [
        FaceSample(f"{i}.png", rng.integers(0, 256, shape, dtype=np.uint8), label=i % 3)
        for i, shape in enumerate(shapes)
    ]
    return FaceSplit("tiny", "test", CLASSES, tuple(samples))


def pixels(count=4):
    generator = torch.Generator().manual_seed(0)
    return torch.randint(0, 256, (count, 3, SIZE, SIZE), dtype=torch.uint8, generator=generator)


@pytest.mark.parametrize("kind", KINDS)
def test_logits_before_the_first_step_are_those_of_zero_shot(kind, towers, split):
    spec = towers(kind)
    bank = TextBank.build("paper", spec, CLASSES)
    model = KE2NT(bank, spec).eval()

    result = zero_shot(spec, "paper", split)
    expected = class_logits(result.images, result.bank)
    with torch.no_grad():
        found = model(model.preprocessing([sample.source for sample in split.samples])).logits

    assert np.ptp(expected) > 1
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-4)


@pytest.mark.parametrize("kind", KINDS)
def test_a_saved_model_needs_no_files_of_its_tower(kind, towers, tmp_path):
    spec = towers(kind)
    copy = shutil.copytree(spec.partition(":")[2], tmp_path / "vlm")
    name = f"{kind.partition('-')[0]}:{copy}"
    model = KE2NT(TextBank.build("paper", name, CLASSES), name).eval()
    model.save_pretrained(tmp_path / "model")
    shutil.rmtree(copy)

    again = load_model(tmp_path / "model")

    images = model.preprocessing.normalize(pixels())
    with torch.no_grad():
        assert torch.equal(again(images).logits, model(images).logits)
    assert again.preprocessing == model.preprocessing
    assert again.architecture == model.architecture
    assert str(tmp_path) not in (tmp_path / "model" / "config.json").read_text()


@pytest.mark.parametrize("kind", KINDS)
def test_another_text_gets_a_projection(kind, towers, new_bank):
    width = 12 if (kind.endswith("clip") and "sig" not in kind) or "open" in kind else 16
    model = KE2NT(new_bank(width), towers(kind))

    assert model.projection.weight.shape == (width, width)
    assert model.architecture["projection"] == "linear"
    model(model.preprocessing.normalize(pixels())).logits.sum().backward()
    assert all(p.grad is not None for p in model.projection.parameters())


@pytest.mark.parametrize("kind", KINDS)
def test_token_grids_are_stages(kind, towers, new_bank, tmp_path):
    model = KE2NT(new_bank(), towers(kind), attention={"stages": 3}).train()
    images = model.preprocessing.normalize(pixels())
    output = model(images)

    assert [tuple(maps.shape) for maps in output.attention] == [(4, 3, 3)] * 3
    output.logits.sum().backward()
    without = [n for n, p in model.backbone.named_parameters() if p.grad is None]
    assert not without

    model.eval().save_pretrained(tmp_path / "model")
    with torch.no_grad():
        again = load_model(tmp_path / "model")(images).logits
        torch.testing.assert_close(again, model(images).logits, rtol=0, atol=1e-6)


def test_the_last_stage_is_what_the_tower_pools(towers, new_bank):
    # CLIP's tower: the class token of the last block, normalized and projected
    tower = KE2NT(new_bank(), towers("transformers-clip")).eval().backbone.net
    images = torch.randn(2, 3, SIZE, SIZE)
    hidden = tower.vision_model(pixel_values=images, output_hidden_states=True).hidden_states
    maps = tower.forward_intermediates(images, indices=[0, 2])

    for found, expected in zip(maps, (hidden[1], hidden[3]), strict=True):
        grid = expected[:, 1:].reshape(2, 3, 3, -1).permute(0, 3, 1, 2)
        torch.testing.assert_close(found, grid, rtol=0, atol=1e-5)


def test_the_head_of_a_linear_model_draws_the_same_weights(towers):
    spec = towers("open_clip-clip")
    torch.manual_seed(1)
    first = LinearClassifier(CLASSES, spec)
    torch.manual_seed(1)
    layer = torch.nn.Linear(first.backbone.width, len(CLASSES))
    assert torch.equal(first.classifier.weight, layer.weight)


def test_no_projection_needs_equal_widths(towers, bank):
    with pytest.raises(ModelError, match="width of the text space"):
        KE2NT(bank, towers("open_clip-clip"), projection="none")


def test_unknown_towers_are_refused(bank):
    with pytest.raises(TextEncoderError, match=r"no architecture 'ViT-B-61'.*ViT-B-16"):
        KE2NT(bank, "open_clip:ViT-B-61/openai")
    with pytest.raises(ModelError, match="stem=small"):
        KE2NT(bank, "open_clip:ViT-B-16/openai", stem="small")


def test_a_stored_tower_must_not_name_a_model_elsewhere(towers, tmp_path, new_bank):
    model = KE2NT(new_bank(), towers("open_clip-clip"))
    model.save_pretrained(tmp_path / "model")
    file = tmp_path / "model" / "config.json"
    config = json.loads(file.read_text())
    config["architecture"]["tower"]["config"]["vision_cfg"]["timm_model_name"] = "hf-hub:a/b"
    file.write_text(json.dumps(config))

    with pytest.raises(CheckpointError, match="a model elsewhere"):
        load_model(tmp_path / "model")
