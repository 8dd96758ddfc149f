"""The right article before a class word."""

from __future__ import annotations

import pytest

from ke2nt.prompts.articles import article, fill_template

AN = """anger angry unhappy uneasy upset amused embarrassed envious indifferent open urgent
    unimpressed uninterested unidentified unironic unissued unillustrated utter usher umbrella urban
    onerous honest honorary hour-long heir 8-bit 80 11 18 S-shaped O-shaped X-ray élan 'angry'"""
A = """happiness happy neutral contempt bored hopeful historic unique unit uniform united universal
    unilateral unified unidirectional unimodal unison euphoric European useful usual user usurious
    utopian ubiquitous unanimous ukulele urine ewe one one-sided once oneness U-shaped 7 12 118
    yawning worried ¡hola! 中立"""


@pytest.mark.parametrize("word", AN.split())
def test_an(word):
    assert article(word) == "an"


@pytest.mark.parametrize("word", A.split())
def test_a(word):
    assert article(word) == "a"


@pytest.mark.parametrize(
    ("template", "word", "text"),
    [
        ("a photo of a {class} face.", "angry", "a photo of an angry face."),
        ("a photo of an {class} face.", "happy", "a photo of a happy face."),
        ("A {class} face.", "unhappy", "An unhappy face."),
        ("An {class} face.", "unique", "A unique face."),
        ("(a  {class} one)", "upset", "(an  upset one)"),
        ("a very {class} face", "angry", "a very angry face"),
        ("Anna {class}", "angry", "Anna angry"),
        ("vitamin-a {class}", "angry", "vitamin-a angry"),
        ("the {class} face", "honest", "the honest face"),
        ("a {class} person", "in pain", "an in pain person"),
        ("a {class} person", r"\1 odd", r"a \1 odd person"),
    ],
)
def test_fill_template(template, word, text):
    assert fill_template(template, word) == text
