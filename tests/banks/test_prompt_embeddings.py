"""Single prompts go through the encoder once, and come back in the order asked for."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from fake_text import FakeEncoder, vector

from ke2nt.banks.prompt_embeddings import embed_prompts
from ke2nt.banks.text_bank import TextBank
from ke2nt.errors import PromptError
from ke2nt.vlm.base import WeightsUnavailableError

TEXTS = ["a sad face", "a happy face", "a sad face", "an angry face"]


def test_rows_are_unchanged_and_in_the_requested_order(encoder):
    embeddings = embed_prompts(TEXTS, encoder)
    assert embeddings.dtype == torch.float32
    assert np.array_equal(embeddings.numpy(), np.stack([vector(text) for text in TEXTS]))
    assert sorted(encoder.calls[0]) == sorted(set(TEXTS))


def test_cache_hit_needs_no_text_model_in_any_order(encoder):
    first = embed_prompts(TEXTS, encoder)
    again = embed_prompts(TEXTS[::-1], encoder)
    assert len(encoder.calls) == 1
    assert torch.equal(again, first.flip(0))


def test_other_weights_or_prompts_are_encoded_anew(encoder):
    embed_prompts(TEXTS, encoder)
    embed_prompts(TEXTS[:2], encoder)
    encoder.weights = "v" * 64
    embed_prompts(TEXTS, encoder)
    assert len(encoder.calls) == 3


def test_cached_prompts_need_no_weights(encoder, monkeypatch):
    first = embed_prompts(TEXTS, encoder)

    def absent():
        raise WeightsUnavailableError("gone")

    monkeypatch.setattr(encoder, "fingerprint", absent)
    assert torch.equal(embed_prompts(TEXTS, encoder), first)

    with pytest.raises(WeightsUnavailableError):
        embed_prompts(["something else"], encoder)


@pytest.mark.parametrize("prompts", [[], "one text", ["fine", " "]])
def test_invalid_lists_of_prompts_are_refused(encoder, prompts):
    with pytest.raises(PromptError):
        embed_prompts(prompts, encoder)


def test_truncated_prompt_is_refused():
    with pytest.raises(PromptError, match="truncated"):
        embed_prompts(["far too many words for it"], FakeEncoder(words=3))


def test_minilm_equals_the_shipped_bank():
    bank = TextBank.build("simple", classes=["happiness", "fear"])
    embeddings = embed_prompts(["a photo of a happy face.", "a photo of a fearful face."], "minilm")
    assert torch.allclose(embeddings, bank.raw, atol=1e-6)
