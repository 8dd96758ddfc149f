"""From embedded splits to a learned set: label policies, unseen classes, the page's example."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
import torch

from ke2nt.banks.text_bank import TextBank
from ke2nt.errors import LabelError, ModelError, PromptError
from ke2nt.evaluation.embed_split import ImageEmbeddings
from ke2nt.evaluation.zero_shot import class_logits
from ke2nt.prompt_learning.learn_prompts import learn_prompts
from ke2nt.prompt_learning.options import ContextOptions

FAST = ContextOptions(context=2, epochs=2, lr=0.5)
PAGE = Path(__file__).resolve().parents[2] / "docs" / "prompts.md"


@pytest.fixture(scope="module")
def images(spec, encoder):
    """Draws image embeddings of some classes."""

    def draw(classes, count=24, seed=0, **fields):
        rng = np.random.default_rng(seed)
        rows = rng.normal(size=(count, 12)).astype(np.float32)
        return ImageEmbeddings(
            embeddings=rows / np.linalg.norm(rows, axis=1, keepdims=True),
            labels=np.arange(count) % len(classes),
            names=tuple(f"{i}.png" for i in range(count)),
            classes=tuple(classes),
            encoder=spec,
            text_encoder=spec,
            logit_scale=20.0,
            text_weights=encoder.fingerprint().weights,
            **fields,
        )

    return draw


@pytest.fixture(autouse=True)
def _own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("KE2NT_CACHE", str(tmp_path / "cache"))


def test_validation_metrics_are_those_of_the_banks(images, encoder):
    classes = ("fear", "anger", "neutral")
    train, val = images(classes), images(classes, 15, seed=1)
    result = learn_prompts(train, val, "paper", FAST)
    assert result.prompts.class_names == classes
    assert result.labels == "label sets agree"

    for prompts, record in (("paper", result.written), (result.prompts, result.learned)):
        bank = TextBank.build(prompts, encoder, classes=classes)
        correct = class_logits(val, bank).argmax(1) == val.labels
        recalls = [correct[val.labels == k].mean() for k in range(3)]
        assert record.val_accuracy == pytest.approx(correct.mean())
        assert record.val_uar == pytest.approx(np.mean(recalls))


def test_classes_follow_the_label_policy(images):
    train, val = images(("joy", "fear", "bored")), images(("joy", "fear", "bored"), 9, seed=1)
    with pytest.raises(LabelError, match="only the data has joy, bored"):
        learn_prompts(train, val, "paper", FAST)

    merge = {"joy": "happiness"}
    dropped = learn_prompts(train, val, "paper", FAST, policy="drop", merge=merge)
    assert dropped.prompts.class_names == ("happiness", "fear")
    assert dropped.prompts.learned.training["images"] == 16
    kept = learn_prompts(train, val, "paper", FAST, policy="keep", merge=merge)
    assert len(kept.prompts.class_names) == 8


def test_classes_without_images_have_no_vectors_of_their_own(images):
    options = ContextOptions(context=2, epochs=1, class_specific=True)
    train, val = images(("fear", "anger")), images(("fear", "anger"), 8, seed=1)
    with pytest.raises(PromptError, match=r"class without images.*none of neutral, happiness"):
        learn_prompts(train, val, "paper", options, policy="keep")
    found = learn_prompts(train, val, "paper", options, policy="drop")
    assert found.prompts.class_names == ("anger", "fear")


def test_a_text_encoder_of_another_space_is_refused(images):
    train, val = images(("fear", "anger", "neutral")), images(("fear", "anger", "neutral"), 9)
    with pytest.raises(ModelError, match="shares the image encoder's space"):
        learn_prompts(train, val, "paper", FAST, text_encoder="minilm")


def test_example_of_the_page(images):
    (block,) = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), flags=re.S)
    classes = ("fear", "anger", "neutral")
    names = {"train": images(classes), "val": images(classes, 9, seed=1)}
    exec(block.replace("context=4", "context=4, epochs=2"), names)
    assert names["learned"].context.vectors.shape == (1, 4, 16)
    assert torch.isfinite(names["learned"].context.embeddings).all()
