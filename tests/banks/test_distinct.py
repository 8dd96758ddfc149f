"""Words that an encoder cannot tell apart are refused as classes and named as prompts."""

from __future__ import annotations

import itertools
import warnings

import pytest
import torch
from fake_text import FakeEncoder, small_prompts

from ke2nt.banks.build_bank import build_bank
from ke2nt.banks.distinct import find_equal_texts
from ke2nt.banks.prompt_embeddings import embed_prompts
from ke2nt.banks.text_bank import TextBank
from ke2nt.errors import Ke2ntWarning, PromptError
from ke2nt.prompts.prompt_set import PromptSet
from ke2nt.vlm.base import EncodedText


class CaselessEncoder(FakeEncoder):
    """Reads lower-case ASCII; all other signs are one unknown token."""

    id = "caseless"

    def read(self, text):
        return "".join(sign if sign.isascii() else "?" for sign in text.lower())

    def unknown_texts(self, prompts):
        return [text for text in prompts if "?" in self.read(text)]

    def encode_text(self, prompts):
        encoded = super().encode_text([self.read(text) for text in prompts])
        # as a tower that computes texts in batches: equal up to rounding
        noise = torch.linspace(0, 1e-6, len(prompts))[:, None]
        return EncodedText(encoded.embeddings + noise, 50.0, None, {"activation": "gelu"})


def build(words, **options):
    return TextBank.build(PromptSet.from_words(words), CaselessEncoder(), **options)


@pytest.mark.parametrize(
    ("words", "found"),
    [
        (["happy", "sad", "Happy"], "'happy' = 'Happy'"),
        (["🙂", "🙁", "sad"], "'🙂' = '🙁'"),
        (["sad", "a🙂", "B🙂", "b🙁", "A🙁"], "'a🙂' = 'A🙁'; 'B🙂' = 'b🙁'"),
    ],
)
def test_classes_with_equal_embeddings_are_refused(words, found):
    with pytest.raises(PromptError, match="caseless cannot tell some classes apart") as caught:
        build(words)
    assert found in str(caught.value)
    # from the cache as well, and through the command that builds banks
    with pytest.raises(PromptError, match="cannot tell"):
        build_bank(TextBank, PromptSet.from_words(words), CaselessEncoder())


def test_classes_that_are_left_out_do_not_matter():
    words = PromptSet.from_words(["happy", "Happy", "sad"])
    bank = TextBank.build(words, CaselessEncoder(), classes=["happy", "sad"])
    assert bank.classes == ("happy", "sad")


def test_prompts_of_one_class_and_unknown_signs_are_warned_of_every_time():
    prompts = small_prompts(
        templates=["{class}"],
        classes={"neutral": ["neutral"], "happiness": ["glad", "Glad"], "fear": ["ужас"]},
    )
    for _ in ("encoded", "from the cache"):
        with pytest.warns(Ke2ntWarning) as caught:
            bank = TextBank.build(prompts, CaselessEncoder())
        messages = [str(warning.message) for warning in caught]
        assert any("apart: 'glad' = 'Glad'" in text for text in messages)
        assert any("no tokens for a part of 'ужас'" in text for text in messages)
    assert bank.provenance["notes"] == messages
    assert bank.provenance["activation"] == "gelu"


def test_single_prompts_are_named_and_not_refused():
    with pytest.warns(Ke2ntWarning, match=r"apart: 'Fear' = 'fear'"):
        rows = embed_prompts(["fear", "Fear", "joy"], CaselessEncoder())
    assert rows.shape == (3, 6)


def test_an_encoder_that_reads_all_is_silent():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        TextBank.build(small_prompts(), FakeEncoder())


def test_groups_are_those_of_all_pairs():
    generator = torch.Generator().manual_seed(5)
    rows = torch.randn(9, 8, generator=generator)
    rows = torch.nn.functional.normalize(rows[[0, 1, 2, 1, 3, 0, 4, 1, 5]], dim=1)
    rows += 1e-6 * torch.randn(rows.shape, generator=generator)
    texts = [f"text {index}" for index in range(len(rows))]
    groups = find_equal_texts(texts, rows)
    equal = {frozenset(pair) for group in groups for pair in itertools.combinations(group, 2)}
    assert equal == {
        frozenset((texts[i], texts[j]))
        for i, j in itertools.combinations(range(len(rows)), 2)
        if float((rows[i] - rows[j]).norm()) < 1e-4
    }
    assert groups == [("text 0", "text 5"), ("text 1", "text 3", "text 7")]


class SpellingEncoder(FakeEncoder):
    id = "spelling"

    def unknown_words(self, prompts):
        return [word for text in prompts for word in text.split() if word == "xqzt"]


def test_words_that_are_only_spelled_are_named():
    with pytest.warns(Ke2ntWarning, match="spelling does not know 'xqzt'"):
        TextBank.build(PromptSet.from_words(["xqzt", "sad"]), SpellingEncoder())
