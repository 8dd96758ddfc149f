"""Image towers of models whose text side lacks its tokenizer, as SigLIP's may offline."""

from __future__ import annotations

import json
import shutil

import open_clip
import pytest
import torch
from tiny_towers import SIZE, vision_language_model

from ke2nt.errors import TextEncoderError
from ke2nt.vlm.base import WeightsUnavailableError
from ke2nt.vlm.catalog import get_text_encoder

HUB_NAME = "timm/ViT-B-16-SigLIP"
PIXELS = torch.arange(3 * SIZE * SIZE, dtype=torch.uint8).reshape(1, 3, SIZE, SIZE)


def with_hub_tokenizer(folder):
    path = folder / "open_clip_config.json"
    facts = json.loads(path.read_text())
    facts["model_cfg"]["text_cfg"]["hf_tokenizer_name"] = HUB_NAME
    path.write_text(json.dumps(facts))
    return facts["model_cfg"]


@pytest.fixture(params=["open_clip", "transformers"])
def folder(request, tmp_path):
    """A SigLIP without tokenizer files."""
    name = vision_language_model(tmp_path, f"{request.param}-siglip")
    folder = tmp_path / name.rpartition("/")[2]
    if request.param == "open_clip":
        with_hub_tokenizer(folder)
    for path in folder.glob("*token*"):
        path.unlink()
    return folder


def encoder_of(folder):
    return get_text_encoder(f"{folder.name.partition('-')[0]}:{folder}")


def test_the_image_side_needs_no_tokenizer(folder, tmp_path):
    model = encoder_of(folder)
    complete = get_text_encoder(vision_language_model(tmp_path / "other", folder.name))

    model.load(torch.device("cpu"))
    with torch.no_grad():
        found = model.image_tower()(model.normalize(PIXELS))
        complete.load(torch.device("cpu"))
        expected = complete.image_tower()(complete.normalize(PIXELS))
        embedded = complete.encode_image(PIXELS)

    assert torch.equal(found, expected)
    # a tower is a copy, and its weights lie elsewhere in memory than those of the file, which
    # some processors round otherwise
    torch.testing.assert_close(found, embedded, rtol=1e-5, atol=1e-6)
    assert model.tower_facts().logit_bias == -12.0
    assert model.tower_facts().weights == model.weights()


def test_text_names_the_tokenizer_and_what_to_type(folder):
    model = encoder_of(folder)
    origin = HUB_NAME if folder.name.startswith("open_clip") else "the model that the weights"
    expected = rf"needs a tokenizer.*tokenizer\.json.*{origin}.*text\.encoder=minilm"
    for use in (
        model.fingerprint,
        lambda: model.encode_text(["calm"]),
        lambda: model.check_lengths(["calm"]),
        model.prompt_learning_tower,
    ):
        with pytest.raises(TextEncoderError, match=expected):
            use()


def test_a_broken_tokenizer_is_named(folder):
    (folder / "tokenizer.json").write_text("{}")
    with pytest.raises(TextEncoderError, match=r"tokenizer of .*found .* again") as caught:
        encoder_of(folder).encode_text(["calm"])
    # not the key alone
    assert "found 'added_tokens'" not in str(caught.value)


def test_an_architecture_whose_tokenizer_is_on_the_hub(tmp_path):
    folder = tmp_path / vision_language_model(tmp_path, "open_clip-siglip").rpartition("/")[2]
    path = tmp_path / "tiny-siglip-of-the-hub.json"
    path.write_text(json.dumps(with_hub_tokenizer(folder)))
    open_clip.add_model_config(path)
    weights = shutil.move(folder / "open_clip_model.safetensors", tmp_path / "w.safetensors")
    model = get_text_encoder(f"open_clip:{path.stem}/{weights}")

    assert model.image_tower()(torch.zeros(1, 3, SIZE, SIZE)).shape == (1, 12)
    expected = rf"the tokenizer {HUB_NAME}.*HF_HUB_OFFLINE.*hf download {HUB_NAME} tokenizer\.json"
    with pytest.raises(WeightsUnavailableError, match=expected):
        model.encode_text(["calm"])
