"""The image side as data and as a module to train: preprocessing, tower, width, scale, bias."""

from __future__ import annotations

import math

import pytest
import torch
import transformers
from torch import nn

from ke2nt.errors import TextEncoderError
from ke2nt.evaluation.image_encoders import get_image_encoder
from ke2nt.vlm.base import ImageEncoder, TextEncoder, VisionLanguageModel

TOWER = {
    "hidden_size": 16,
    "intermediate_size": 16,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
}


@pytest.fixture(params=["open_clip", "transformers"])
def model(request, small_clip):
    folder = getattr(small_clip, request.param)
    model = get_image_encoder(f"{request.param}:{folder}")
    model.load(torch.device("cpu"))
    return model


@pytest.fixture(scope="module")
def siglip(tmp_path_factory):
    folder = tmp_path_factory.mktemp("siglip")
    torch.manual_seed(2)
    text = {**TOWER, "vocab_size": 10, "projection_size": 16, "pad_token_id": 0}
    config = transformers.SiglipConfig(
        text_config={**text, "bos_token_id": 1, "eos_token_id": 1},
        vision_config={**TOWER, "image_size": 24, "patch_size": 8},
    )
    library = transformers.SiglipModel(config)
    with torch.no_grad():
        library.logit_scale.fill_(math.log(90.0))
        library.logit_bias.fill_(-12.0)
    library.save_pretrained(folder)
    transformers.SiglipImageProcessor(size={"height": 24, "width": 24}).save_pretrained(folder)
    (folder / "tokenizer.json").write_text("{}")
    return get_image_encoder(f"transformers:{folder}")


def random_pixels(side, count=3):
    generator = torch.Generator().manual_seed(0)
    return torch.randint(0, 256, (count, 3, side, side), dtype=torch.uint8, generator=generator)


def test_a_model_has_both_sides(model):
    assert isinstance(model, VisionLanguageModel)
    assert isinstance(model, TextEncoder)
    assert isinstance(model, ImageEncoder)


def test_preprocessing_as_data(model):
    preprocessing = model.preprocessing

    assert preprocessing.size == (32, 32)
    assert preprocessing.resize_mode == "shortest"
    assert preprocessing.interpolation == "bicubic"

    # the facts are enough to repeat the normalization
    pixels = random_pixels(32)
    mean, std = (
        torch.tensor(values).view(1, 3, 1, 1) for values in (preprocessing.mean, preprocessing.std)
    )
    expected = (pixels / 255 - mean) / std

    torch.testing.assert_close(model.normalize(pixels), expected, rtol=0, atol=1e-6)


def test_image_tower_gives_the_embeddings(model):
    pixels = random_pixels(32)
    tower = model.image_tower()
    assert isinstance(tower, nn.Module)
    with torch.no_grad():
        expected = model.encode_image(pixels)
        embeddings = tower(model.normalize(pixels))
    assert torch.equal(embeddings, expected)
    assert embeddings.shape == (3, model.dim)


def test_image_tower_trains_without_changing_the_model(model):
    pixels = random_pixels(32)
    with torch.no_grad():
        before = model.encode_image(pixels)

    tower = model.image_tower()
    tower(model.normalize(pixels)).square().sum().backward()
    with torch.no_grad():
        for name, parameter in tower.named_parameters():
            assert parameter.grad is not None, name
            parameter -= 0.1 * parameter.grad
        assert torch.equal(model.encode_image(pixels), before)
        assert not torch.equal(tower(model.normalize(pixels)), before)


def test_both_libraries_agree_on_width_scale_and_bias(small_clip):
    ours = get_image_encoder(f"open_clip:{small_clip.open_clip}")
    theirs = get_image_encoder(f"transformers:{small_clip.transformers}")
    assert ours.dim == theirs.dim == 64
    assert ours.logit_scale == pytest.approx(theirs.logit_scale)
    assert ours.logit_bias is None
    assert theirs.logit_bias is None


def test_siglip(siglip):
    assert siglip.dim == 16
    assert siglip.logit_scale == pytest.approx(90.0, rel=1e-5)
    assert siglip.logit_bias == -12.0
    assert siglip.preprocessing.size == (24, 24)
    assert siglip.preprocessing.resize_mode == "squash"

    pixels = random_pixels(24)
    siglip.load(torch.device("cpu"))
    with torch.no_grad():
        embeddings = siglip.image_tower()(siglip.normalize(pixels))
        assert torch.equal(embeddings, siglip.encode_image(pixels))


def test_a_sentence_encoder_has_no_image_side(tmp_path):
    config = transformers.BertConfig(vocab_size=10, max_position_embeddings=20, **TOWER)
    transformers.BertModel(config).save_pretrained(tmp_path)
    encoder = get_image_encoder(f"transformers:{tmp_path}")
    assert encoder.dim == 16
    for use in (lambda: encoder.preprocessing, encoder.preprocessing_facts, encoder.image_tower):
        with pytest.raises(TextEncoderError, match="no image tower"):
            use()
