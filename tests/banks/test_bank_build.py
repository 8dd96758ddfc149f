from __future__ import annotations

import numpy as np
import pytest
import torch
from fake_text import FakeEncoder, small_prompts, vector

from ke2nt.banks.text_bank import TextBank
from ke2nt.errors import PromptError
from ke2nt.vlm.base import DEFAULT_LOGIT_SCALE


def oracle(texts):
    """Mean, and normalized mean of normalized, one text at a time in float64."""
    total, direction = np.zeros(6), np.zeros(6)
    for text in texts:
        row = vector(text).astype(np.float64)
        total += row / len(texts)
        direction += row / np.sqrt((row * row).sum())
    return total, direction / np.sqrt((direction * direction).sum())


def test_every_row_equals_the_average_of_its_prompts(encoder):
    prompts = small_prompts()
    bank = TextBank.build(prompts, encoder)

    assert bank.classes == ("neutral", "happiness", "fear")
    assert len(prompts.render("happiness")) == 4

    for name, raw, embedding in zip(bank.classes, bank.raw, bank.embeddings, strict=True):
        total, direction = oracle(prompts.render(name))
        np.testing.assert_allclose(raw.numpy(), total, rtol=1e-6, atol=1e-6)
        np.testing.assert_allclose(embedding.numpy(), direction, rtol=1e-6, atol=1e-6)
    total, direction = oracle(prompts.render_anchor())

    np.testing.assert_allclose(bank.neutral_raw.numpy(), total, rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(bank.neutral.numpy(), direction, rtol=1e-6, atol=1e-6)
    assert bank.raw.dtype == torch.float32


def test_raw_of_one_prompt_differs_from_its_embedding_only_in_norm(encoder):
    bank = TextBank.build(small_prompts(templates=["a {class} face"]), encoder)
    row = bank.classes.index("fear")
    torch.testing.assert_close(bank.raw[row] / bank.raw[row].norm(), bank.embeddings[row])


def test_each_text_is_encoded_once(encoder):
    TextBank.build(small_prompts(), encoder)
    (texts,) = encoder.calls
    assert len(texts) == len(set(texts)) == 8  # the anchor is the neutral class's prompts


def test_classes_in_the_requested_order(encoder):
    bank = TextBank.build(small_prompts(), encoder, classes=["fear", "neutral"])
    whole = TextBank.build(small_prompts(), encoder)
    assert bank.classes == ("fear", "neutral")
    assert bank.neutral_index == 1
    assert list(bank.provenance["prompts"]) == ["fear", "neutral"]
    assert torch.equal(bank.raw, whole.raw[[2, 0]])


def test_anchor_without_the_neutral_class(encoder):
    bank = TextBank.build(small_prompts(), encoder, classes=["fear"])
    whole = TextBank.build(small_prompts(), encoder)
    assert bank.neutral_index is None
    assert torch.equal(bank.neutral, whole.neutral)


def test_another_class_can_be_the_anchor(encoder):
    prompts = small_prompts(classes={"bored": ["bored"], "calm": ["calm"]}, anchor="calm")
    assert TextBank.build(prompts, encoder).neutral_index == 1


@pytest.mark.parametrize("scale", [None, 12.5])
def test_logit_scale_of_the_encoder_or_default(scale):
    bank = TextBank.build(small_prompts(), FakeEncoder(scale=scale))
    assert bank.logit_scale == (scale or DEFAULT_LOGIT_SCALE)
    assert bank.provenance["logit_scale_from"] == ("encoder" if scale else "default")


def test_unknown_class_suggests_the_nearest(encoder):
    with pytest.raises(PromptError, match="Did you mean 'happiness'"):
        TextBank.build(small_prompts(), encoder, classes=["happines"])


def test_every_truncated_prompt_is_named(encoder):
    encoder.words = 3
    with pytest.raises(PromptError, match="at most 3 tokens") as caught:
        TextBank.build(small_prompts(), encoder)
    text = str(caught.value)
    assert "'the face looks glad' (4)" in text
    assert "'the face looks afraid' (4)" in text
    assert "'a happy face'" not in text
    assert encoder.calls == []


def test_provenance(encoder):
    facts = TextBank.build(small_prompts(), encoder).provenance
    assert facts["encoder"] == "fake"
    assert facts["weights"] == encoder.weights
    assert facts["prompt_set"] == "small"
    assert facts["prompts"]["fear"] == ["an afraid face", "the face looks afraid"]
    assert facts["versions"]["torch"]
