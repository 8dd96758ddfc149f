"""Image towers at other sizes than those they were trained with."""

from __future__ import annotations

import json

import open_clip
import pytest
import torch
from safetensors.torch import load_file
from tiny_towers import KINDS, timm_siglip, vision_language_model

from ke2nt.errors import ModelError
from ke2nt.models.tower_backbones import load_tower
from ke2nt.vlm.build_tower import build_image_tower
from ke2nt.vlm.catalog import get_text_encoder
from ke2nt.vlm.image_tower import TowerFacts

IMAGES = torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))


@torch.no_grad()
def by_the_library(spec, size):
    """Embeddings of IMAGES as the library itself gives them at another size."""
    library, _, folder = spec.partition(":")
    if library == "open_clip":
        model = open_clip.create_model(f"local-dir:{folder}", force_image_size=size)
        open_clip.load_checkpoint(model, f"{folder}/open_clip_model.safetensors")
        return model.eval().encode_image(IMAGES)
    from transformers import AutoModel

    model = AutoModel.from_pretrained(folder).eval()
    pooled = model.vision_model(IMAGES, interpolate_pos_encoding=True).pooler_output
    return model.visual_projection(pooled) if hasattr(model, "visual_projection") else pooled


@pytest.mark.parametrize("kind", KINDS)
def test_position_embeddings_are_interpolated_as_by_the_library(kind, tmp_path):
    spec = vision_language_model(tmp_path, kind)
    tower, facts = load_tower(spec, image_size=32)

    with torch.no_grad():
        found = tower.eval()(IMAGES)
    torch.testing.assert_close(found, by_the_library(spec, 32), rtol=0, atol=1e-5)
    assert facts.image_size == 32

    # the facts alone build it again
    stored = TowerFacts.from_dict(json.loads(json.dumps(facts.to_dict())))
    again = build_image_tower(stored).eval()
    again.load_state_dict(tower.state_dict())
    with torch.no_grad():
        assert torch.equal(again(IMAGES), found)


def test_a_timm_trunk_is_resized_by_timm(tmp_path):
    spec = timm_siglip(tmp_path)
    tower, facts = load_tower(spec, image_size=32)

    # 160 px and patches of 16: 10 × 10 cells become 2 × 2
    before = load_file(f"{spec[10:]}/open_clip_model.safetensors")["visual.trunk.pos_embed"]
    after = tower.visual.trunk.pos_embed
    assert before.shape[1] - after.shape[1] == 10 * 10 - 2 * 2
    assert after[:, 1:].mean().item() == pytest.approx(before[:, 1:].mean().item(), abs=0.05)

    again = build_image_tower(TowerFacts.from_dict(facts.to_dict())).eval()
    again.load_state_dict(tower.state_dict())
    with torch.no_grad():
        assert torch.equal(again(IMAGES), tower.eval()(IMAGES))


@pytest.mark.parametrize("kind", ["open_clip-clip", "transformers-siglip"])
def test_a_size_between_patches_is_refused(kind, tmp_path):
    spec = vision_language_model(tmp_path, kind)
    with pytest.raises(ModelError, match=r"multiple of 8; found 30\. model\.image_size=null"):
        load_tower(spec, image_size=30)


def test_a_resnet_of_clip_keeps_its_size():
    model = get_text_encoder("open_clip:RN50/openai")
    with pytest.raises(ModelError, match=r"ResNet.*image_size=224, its own; found 128.*=null"):
        model.check_image_size(128)
