"""A prompt set renders its prompts, and an invalid one names every problem."""

from __future__ import annotations

import json
import pickle

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from ke2nt.errors import PromptError
from ke2nt.prompts.problems import PromptSetError
from ke2nt.prompts.prompt_set import PAPER_TEMPLATE, PromptSet

GOOD = {
    "name": "x",
    "templates": ["a {class} face.", "this is {class}."],
    "classes": {"neutral": ["calm"], "anger": ["angry", "mad"]},
    "descriptions": {"anger": ["a hard stare."]},
}


def problems(**changes):
    data = {key: value for key, value in {**GOOD, **changes}.items() if value is not None}
    with pytest.raises(PromptSetError) as caught:
        PromptSet.from_dict(data)
    return list(caught.value.problems)


def test_render_is_every_word_in_every_template_then_the_descriptions():
    prompts = PromptSet.from_dict(GOOD)
    assert prompts.class_names == ("neutral", "anger")
    assert prompts.render("anger") == (
        "an angry face.",
        "this is angry.",
        "a mad face.",
        "this is mad.",
        "a hard stare.",
    )
    assert prompts.render_anchor() == prompts.render("neutral") == ("a calm face.", "this is calm.")


def test_a_prompt_set_cannot_be_changed():
    with pytest.raises(ValidationError):
        PromptSet.from_dict(GOOD).name = "y"


def test_unknown_class_names_the_nearest():
    with pytest.raises(PromptError, match=r"unknown class 'angr'.*'x'.*Did you mean 'anger'"):
        PromptSet.from_dict(GOOD).render("angr")


@pytest.mark.parametrize("anchor", ["anger", ["a face at rest.", "a calm face."]])
def test_anchor(anchor):
    prompts = PromptSet.from_dict({**GOOD, "anchor": anchor})
    expected = prompts.render("anger") if anchor == "anger" else tuple(anchor)
    assert prompts.render_anchor() == expected


def test_neutral_is_a_word_if_it_is_not_a_class():
    prompts = PromptSet.from_words(["bored"], "a {class} face.")
    assert prompts.render_anchor() == ("a neutral face.",)


def test_from_words():
    prompts = PromptSet.from_words(["bored", "in  pain "])
    assert prompts.class_names == ("bored", "in pain")
    assert prompts.render("bored") == ("a photo of a person making a bored facial expression.",)
    both = PromptSet.from_words(["bored"], ["a {class} face.", "{class}"], name="mine")
    assert both.render("bored") == ("a bored face.", "bored")
    assert both.name == "mine"


@pytest.mark.parametrize(
    ("words", "template", "text"),
    [
        ("bored", PAPER_TEMPLATE, "words must be a list"),
        ([], PAPER_TEMPLATE, "no words given"),
        (["bored", " bored"], PAPER_TEMPLATE, "'bored' is given twice"),
        (["bored", 3], PAPER_TEMPLATE, "words must be text; found 3"),
        (["bored", " "], PAPER_TEMPLATE, "is empty"),
        (["bored"], "a face", "exactly once"),
    ],
)
def test_bad_words(words, template, text):
    with pytest.raises(PromptError, match=text):
        PromptSet.from_words(words, template)


def test_with_classes_picks_and_orders():
    prompts = PromptSet.from_dict(GOOD)
    turned = prompts.with_classes(["anger", "neutral"])
    assert turned.class_names == ("anger", "neutral")
    assert turned.render("anger") == prompts.render("anger")


def test_anchor_is_kept_without_its_class():
    prompts = PromptSet.from_dict(GOOD)
    assert prompts.with_classes(["anger"]).render_anchor() == ("a calm face.", "this is calm.")


@pytest.mark.parametrize(
    ("classes", "text"),
    [
        (["angr"], "Did you mean 'anger'"),
        (["anger", "anger"], "given twice"),
        ([], "classes"),
        ("anger", "must be a list"),
    ],
)
def test_with_wrong_classes(classes, text):
    with pytest.raises(PromptError, match=text):
        PromptSet.from_dict(GOOD).with_classes(classes)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"template": ["a {class}"]}, ["unknown key 'template'. Did you mean 'templates'?"]),
        ({"name": None}, ["the key 'name' is missing"]),
        ({"name": "a/b"}, ["name: expected letters, digits, '_', '.' or '-', found 'a/b'"]),
        ({"classes": None}, ["the key 'classes' is missing"]),
        ({"classes": {}}, ["classes: expected class: [words], found {}"]),
        ({"classes": {"a": "b"}, "descriptions": None}, ["classes.a: must be a list, found str"]),
        ({"templates": "a {class}"}, ["templates: must be a list, found str"]),
        ({"description": 3}, ["description: expected text, found 3"]),
        (
            {"templates": ["a face", "{class} {class}"]},
            [
                "templates, entry 1: 'a face' must contain {class} exactly once",
                "templates, entry 2: '{class} {class}' must contain {class} exactly once",
            ],
        ),
        (
            {"templates": ["{class} {0}"]},
            ["templates, entry 1: '{class} {0}' must contain no brace other than {class}"],
        ),
        ({"templates": ["{class}", "{class} "]}, ["the template '{class}' is given twice"]),
        (
            {"classes": {"anger": ["", False, 3, "{class}"]}},
            [
                "classes.anger, entry 1: is empty",
                "classes.anger, entry 2: expected text, found False "
                "(put quotes around words such as no and off)",
                "classes.anger, entry 3: expected text, found 3",
                "classes.anger, entry 4: '{class}' has a brace; only templates take {class}",
            ],
        ),
        (
            {"classes": {"anger": ["a"], "b ": ["b"]}},
            ["classes, a class name: 'b ' has superfluous spaces"],
        ),
        (
            {"classes": {"anger": ["a"], True: ["b"]}},
            [
                "classes, a class name: expected text, found True "
                "(put quotes around words such as no and off)"
            ],
        ),
        (
            {"classes": {"anger": ["mad", "mad"]}, "templates": ["{class}"]},
            ["'anger' has the prompt 'mad' twice"],
        ),
        (
            {"classes": {"anger": ["mad"], "fear": ["mad"]}, "descriptions": None},
            ["'anger' and 'fear' have the same prompts"],
        ),
        (
            {"classes": {"anger": [], "fear": []}},
            ["no prompts for 'fear': give words and templates, or descriptions"],
        ),
        (
            {"templates": None, "descriptions": {"neutral": ["x"]}},
            ["no prompts for 'anger': give words and templates, or descriptions"],
        ),
        (
            {"descriptions": {"angr": ["x"]}},
            [
                "descriptions name the class 'angr', which is not among the classes "
                "(Did you mean 'anger'?)"
            ],
        ),
        (
            {"anchor": "angr"},
            ["the anchor 'angr' is not among the classes (Did you mean 'anger'?)"],
        ),
        (
            {"anchor": "a calm person's face"},
            [
                'the anchor "a calm person\'s face" is not among the classes '
                "(write full prompts as a list)"
            ],
        ),
        ({"anchor": []}, ["the anchor is an empty list"]),
        ({"anchor": ["x", "x"]}, ["the anchor has the prompt 'x' twice"]),
        ({"anchor": ["x", 3]}, ["anchor, entry 2: expected text, found 3"]),
        ({"anchor": 3}, ["anchor: expected text, found 3"]),
    ],
)
def test_problems_are_named(changes, expected):
    assert problems(**changes) == expected


def test_the_anchor_needs_templates_or_a_class():
    data = {"name": "x", "classes": {"anger": []}, "descriptions": {"anger": ["x"]}}
    with pytest.raises(PromptError, match="the anchor 'neutral' is not among the classes"):
        PromptSet.from_dict(data)


def test_every_problem_is_in_one_error():
    with pytest.raises(PromptError) as caught:
        PromptSet.from_dict({"name": "x", "classes": {"a": [1]}, "color": 2}, where="my.yaml")
    text = str(caught.value)
    assert text.startswith("2 problems in a prompt set (in my.yaml); found (1) ")
    assert "(2) " in text
    assert "\n" not in text


def test_the_constructor_raises_the_same():
    with pytest.raises(PromptSetError, match=r"unknown key 'nmae'\. Did you mean 'name'"):
        PromptSet(**{**GOOD, "nmae": "x"})


def test_keys_must_be_text():
    with pytest.raises(PromptError, match="the key 1 is not text"):
        PromptSet.from_dict({1: 2})


TEXT = st.text(st.characters(exclude_characters="{}", codec="utf-8"), min_size=1).filter(
    lambda text: text.split()
)
WORDS = st.lists(TEXT, min_size=1, max_size=3, unique_by=lambda text: " ".join(text.split()))


@example(words=["0"], free=["0"], anchor=False, about="\x85")
@settings(deadline=None, derandomize=True, max_examples=60)
@given(words=WORDS, free=WORDS, anchor=st.booleans(), about=st.text())
def test_dict_yaml_and_pickle_read_back(tmp_path_factory, words, free, anchor, about):
    prompts = PromptSet(
        name="x",
        description=about,
        templates=["{class}"],
        classes={"a": words, "b": []},
        descriptions={"b": [f"b {text}" for text in free]},
        anchor=free if anchor else "b",
    )
    path = tmp_path_factory.getbasetemp() / "read_back.yaml"
    path.write_text(prompts.to_yaml(), encoding="utf-8", newline="")
    assert PromptSet.load(path) == prompts
    assert PromptSet.from_dict(json.loads(json.dumps(prompts.to_dict()))) == prompts
    assert pickle.loads(pickle.dumps(prompts)) == prompts
    assert prompts.render("a") == tuple(" ".join(word.split()) for word in words)


def test_further_words_take_the_templates():
    prompts = PromptSet.load("paper")
    assert prompts.with_words(["anger", "fear"]) is prompts
    more = prompts.with_words(["fear", "in_pain", "Bored"])
    assert more.class_names == (*prompts.class_names, "in_pain", "Bored")
    (sentence,) = more.render("in_pain")
    assert sentence == "a photo of a person making an in pain facial expression."
    assert more.render("fear") == prompts.render("fear")


def test_further_words_without_templates_are_refused():
    data = {"name": "d", "classes": {"anger": []}, "descriptions": {"anger": ["an angry face"]}}
    prompts = PromptSet(**data, anchor=["a face"])
    with pytest.raises(PromptError, match=r"no class 'angr', and no templates.*anger"):
        prompts.with_words(["angr"])
