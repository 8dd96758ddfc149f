"""Every YAML in prompts/ loads, renders, reads as English and fits the encoder."""

from __future__ import annotations

import re

import pytest

from ke2nt.labels import CANONICAL
from ke2nt.prompts.articles import article
from ke2nt.prompts.check import check_prompts
from ke2nt.prompts.prompt_set import PAPER_TEMPLATE, PromptSet
from ke2nt.resources import list_resources

SHIPPED = list_resources("prompts")


@pytest.fixture(params=SHIPPED, scope="module")
def prompts(request):
    return PromptSet.load(request.param)


def test_promised_sets_exist():
    promised = {"paper", "simple", "adjectives", "ensemble", "facs", "fer2013_clip"}
    assert promised <= set(SHIPPED)


def test_every_set_loads_and_renders(prompts):
    assert prompts.class_names == CANONICAL
    assert all(prompts.render(name) for name in CANONICAL)
    assert prompts.render_anchor() == prompts.render("neutral")
    assert prompts.description
    assert prompts.source


def test_every_set_is_named_after_its_file_without_warnings(prompts):
    check = check_prompts(prompts.name)
    assert (check.problems, check.warnings) == ((), ())


def test_every_file_has_a_header_with_its_source(prompts):
    head = re.match(r"(#.*\n)+", SHIPPED[prompts.name].read_text(encoding="utf-8"))
    assert head
    assert "# Source: " in head[0]


def test_every_prompt_is_a_sentence_with_correct_articles(prompts):
    for name in CANONICAL:
        for text in prompts.render(name):
            assert text.endswith(".")
            assert "  " not in text
            for used, word in re.findall(r"\b([Aa]n?) (\w+)", text):
                assert used.lower() == article(word), text


def test_every_prompt_fits_the_context_length_of_clip(prompts):
    tokenizer = pytest.importorskip("open_clip.tokenizer").SimpleTokenizer()
    for name in CANONICAL:
        for text in prompts.render(name):
            assert len(tokenizer.encode(text)) + 2 <= 77, text


def test_paper():
    prompts = PromptSet.load("paper")
    assert prompts.templates == (PAPER_TEMPLATE,)
    assert prompts.classes == {name: (name,) for name in CANONICAL}
    assert prompts.render("anger") == ("a photo of a person making an anger facial expression.",)


def test_sizes():
    assert len(PromptSet.load("ensemble").templates) == 24
    assert len(PromptSet.load("fer2013_clip").templates) == 6
    facs = PromptSet.load("facs")
    assert facs.templates == ()
    assert all(2 <= len(facs.render(name)) <= 4 for name in CANONICAL)


def test_facs_never_names_an_emotion():
    facs, named = PromptSet.load("facs"), PromptSet.load("adjectives")
    words = {word for name in CANONICAL for word in named.classes[name]} - {"calm", "relaxed"}
    for name in CANONICAL:
        for text in facs.render(name):
            assert not set(re.findall(r"\w+", text)) & (words | set(CANONICAL))
