from __future__ import annotations

import pytest
import torch

from ke2nt.app.memory_encoder import MemoryEncoder
from ke2nt.app.vocabulary import Vocabulary, format_words, parse_words
from ke2nt.errors import PromptError, TextEncoderError
from ke2nt.vlm.base import EncodedText, Fingerprint
from ke2nt.vlm.catalog import get_text_encoder


@pytest.mark.parametrize(
    ("text", "classes"),
    [
        ("joy\nrage", {"joy": ["joy"], "rage": ["rage"]}),
        (" joy ,  in   pain,", {"joy": ["joy"], "in pain": ["in pain"]}),
        ("joy: happy,  very glad ,\n\nfear:", {"joy": ["happy", "very glad"], "fear": ["fear"]}),
    ],
)
def test_words_are_parsed(text, classes):
    assert parse_words(text) == classes


def test_words_survive_a_round_trip():
    classes = {"neutral": ("neutral",), "joy": ("happy", "glad")}
    assert format_words(classes) == "neutral\njoy: happy, glad"
    assert parse_words(format_words(classes)) == {k: list(v) for k, v in classes.items()}


@pytest.mark.parametrize("text", ["", " \n ", "joy", "joy\njoy", "joy, joy", "joy: a\njoy: b"])
def test_invalid_words_are_errors(text):
    with pytest.raises(PromptError):
        parse_words(text)


def test_default_texts_are_those_of_the_model(model, tmp_path):
    vocabulary = Vocabulary(model, tmp_path)
    assert vocabulary.default_templates == "a photo of a {class} face."
    assert vocabulary.default_words.splitlines()[:2] == ["neutral", "happiness: happy"]
    trained = vocabulary.parse(
        f"\n {vocabulary.default_words} \n", vocabulary.default_templates + "\n"
    )
    assert trained is vocabulary.trained
    assert trained.bank is None
    assert trained.classes == model.classes


def test_typed_words_are_embedded_like_the_trained_classes(model, tmp_path):
    vocabulary = Vocabulary(model, tmp_path)
    words = vocabulary.parse("joy: happy\nbored", vocabulary.default_templates)
    assert words.classes == ("joy", "bored")
    torch.testing.assert_close(words.bank.raw[0], model.bank.raw[1], atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(words.bank.neutral, model.bank.neutral, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize(
    ("words", "templates", "word"),
    [
        ("joy, rage", "a face", "{class}"),
        ("joy, rage", "", "joy"),
        ("joy", "a {class} face", "two or more classes"),
        (",".join(f"w{i}" for i in range(41)), "a {class} face", "41 classes"),
        (
            ",".join(f"w{i}" for i in range(30)),
            "\n".join(f"{i} {{class}}" for i in range(30)),
            "900",
        ),
        ("rage, " + "joy " * 400, "a {class} face", "truncated"),
    ],
)
def test_invalid_words_and_templates_are_errors(model, tmp_path, words, templates, word):
    with pytest.raises(PromptError, match=word):
        Vocabulary(model, tmp_path).parse(words, templates)


def test_different_encoder_is_an_error(model, tmp_path):
    model.bank.provenance["weights"] = "0" * 64
    with pytest.raises(TextEncoderError, match="weights"):
        Vocabulary(model, tmp_path).parse("joy, rage", "a {class} face")


def test_linear_head_is_not_editable(linear, tmp_path):
    vocabulary = Vocabulary(linear, tmp_path)
    assert not vocabulary.editable
    assert vocabulary.trained.classes == linear.classes


class Counting:
    id = "counting"

    def __init__(self):
        self.calls = []

    def fingerprint(self):
        self.calls.append("fingerprint")
        return Fingerprint("w", "t")

    def check_lengths(self, prompts):
        self.calls.append(("check", *prompts))

    def encode_text(self, prompts):
        self.calls.append(("encode", *prompts))
        return EncodedText(torch.tensor([[float(len(p)), 1.0] for p in prompts]), logit_scale=7.0)


def test_memory_encoder_embeds_each_prompt_once():
    inner = Counting()
    memory = MemoryEncoder(inner)
    memory.fingerprint()
    memory.fingerprint()
    memory.encode_text(["a", "bb"])
    memory.check_lengths(["bb", "a"])
    again = memory.encode_text(["bb", "ccc", "bb"])
    assert inner.calls == ["fingerprint", ("encode", "a", "bb"), ("encode", "ccc")]
    assert again.embeddings[:, 0].tolist() == [2, 3, 2]
    assert again.logit_scale == 7


def test_memory_encoder_equals_minilm():
    encoder = get_text_encoder("minilm")
    memory = MemoryEncoder(encoder)
    texts = ["a happy face", "a sad face"]
    torch.testing.assert_close(
        memory.encode_text(texts).embeddings, encoder.encode_text(texts).embeddings
    )
