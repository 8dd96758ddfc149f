"""The text tower from token embeddings: equal to `encode_text` for every form of tower."""

from __future__ import annotations

import pytest
import torch
from test_transformers import clip, sentence, siglip
from tiny_text_towers import FORMS, open_clip_folder

from ke2nt.errors import PromptError, TextEncoderError
from ke2nt.vlm.catalog import get_text_encoder

__all__ = ["clip", "sentence", "siglip"]

TEXTS = ["a photo of a happy face", "fear", "a neutral face"]
WORDS = ["a", "photo", "of", "happy", "face", "fear", "neutral"]


@pytest.fixture(scope="module")
def specs(tmp_path_factory, clip, siglip, sentence):
    root = tmp_path_factory.mktemp("towers")
    found = {f"open_clip {name}": open_clip_folder(root, name) for name in FORMS}
    found["open_clip hf"] = open_clip_folder(root, "hf", text=sentence)
    folders = {"clip": clip, "siglip": siglip, "sentence": sentence}
    return {**found, **{f"hf {name}": f"transformers:{path}" for name, path in folders.items()}}


OPEN_CLIP = [*(f"open_clip {name}" for name in FORMS), "open_clip hf"]
KINDS = [*OPEN_CLIP, "hf clip", "hf siglip", "hf sentence"]


@pytest.mark.parametrize("kind", KINDS)
def test_embeddings_of_ordinary_tokens_equal_encode_text(specs, kind):
    encoder = get_text_encoder(specs[kind])
    tower = encoder.prompt_learning_tower()
    expected = encoder.encode_text(TEXTS).embeddings

    tokens = tower.tokenize(TEXTS)
    embeddings = tower.embed_tokens(tokens)
    assert embeddings.shape == (3, tokens["input_ids"].shape[1], tower.width)
    torch.testing.assert_close(tower.encode(embeddings, tokens), expected, rtol=0, atol=1e-5)

    # vectors that are the embeddings of "photo of", in the places of these words
    slots = tower.place([["a", 2, " a happy face"], ["fear"], ["a neutral face"]])
    words = tower.vocabulary[tower.plain_ids("photo of")]
    assert slots.rows.tolist() == [0, 0]
    torch.testing.assert_close(tower.encode_slotted(slots, words), expected, rtol=0, atol=1e-5)

    # the hook is gone, and the frozen weights have no gradient
    torch.testing.assert_close(encoder.encode_text(TEXTS).embeddings, expected)
    vectors = words.clone().requires_grad_()
    tower.encode_slotted(slots, vectors).square().sum().backward()
    assert vectors.grad.abs().sum() > 0
    assert all(value.grad is None for value in encoder._load_model().parameters())


@pytest.mark.parametrize("kind", ["open_clip clip", "open_clip siglip", "hf clip", "hf siglip"])
def test_gradient_equals_finite_differences(specs, kind):
    encoder = get_text_encoder(specs[kind])
    tower = encoder.prompt_learning_tower()
    slots = tower.place([[2, " happy face"], ["a", 2, " fear"]])
    torch.manual_seed(0)
    vectors = (0.5 * torch.randn(4, tower.width)).requires_grad_()
    weights = torch.randn(2, encoder.dim)

    def value(rows):
        unit = torch.nn.functional.normalize(tower.encode_slotted(slots, rows).double(), dim=-1)
        return (unit * weights).sum()

    (gradient,) = torch.autograd.grad(value(vectors), vectors)
    direction = torch.randn(4, tower.width)
    step = 2e-3
    with torch.no_grad():
        slope = (value(vectors + step * direction) - value(vectors - step * direction)) / 2 / step
    assert float((gradient * direction).sum()) == pytest.approx(float(slope), rel=0.01, abs=1e-4)


@pytest.mark.parametrize(
    ("kind", "length"), [("open_clip clip", 4), ("open_clip custom", 4), ("open_clip hf", 3)]
)
def test_padding_that_the_tower_does_not_look_at_is_left_out(specs, kind, length):
    tower = get_text_encoder(specs[kind]).prompt_learning_tower()
    tokens = tower.tokenize(["fear", "a face"])
    shortened, _ = tower._shorten(tokens)
    assert tokens["input_ids"].shape[1] in (9, 20)
    # the second text with its end token, and CLIP's start token
    assert shortened["input_ids"].shape == (2, length)


def test_slots_are_found_beside_any_words(specs):
    tower = get_text_encoder(specs["open_clip clip"]).prompt_learning_tower()
    slots = tower.place([[2, " x v."], ["x", 3, "."], [1, " q", 1, "."]])
    assert slots.rows.tolist() == [0, 0, 1, 1, 1, 2, 2]
    # start token first; the second prompt's own x stays before its slots
    assert slots.columns.tolist() == [1, 2, 2, 3, 4, 1, 3]
    assert tower.token_text(tower.plain_ids("happy")[0]).strip() == "happy"


def test_prompts_that_do_not_fit_are_named(specs):
    tower = get_text_encoder(specs["hf clip"]).prompt_learning_tower()
    tower.place([[13, " happy"]])
    with pytest.raises(PromptError, match=r"at most 16 tokens.*'learned: happy' \(17\)"):
        tower.place([[14, " happy"]], names=["learned: happy"])


def test_a_tokenizer_without_short_words_is_refused(specs, monkeypatch):
    tower = get_text_encoder(specs["hf siglip"]).prompt_learning_tower()
    # every filler is the unknown word here, and so is the class
    monkeypatch.setattr("ke2nt.vlm.prompt_tower._FILLERS", ("x", "v"))
    with pytest.raises(TextEncoderError, match="no short word as one token"):
        tower.place([[2, " unheard"]])
