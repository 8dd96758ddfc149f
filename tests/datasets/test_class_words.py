from __future__ import annotations

from pathlib import Path

import pytest

from ke2nt.datasets.class_numbers import class_number
from ke2nt.datasets.class_words import (
    canonical_or_same,
    remark_on_words,
    resolve_words,
)
from ke2nt.errors import DataError, LabelError
from ke2nt.labels import CANONICAL

HERE = Path("data")


@pytest.mark.parametrize(
    ("word", "name"),
    [
        ("Surprise", "surprise"),
        ("3 happy", "happiness"),
        ("0_angry", "anger"),
        ("02-Fear", "fear"),
        ("happy_faces", "happiness"),
        ("class_sad", "sadness"),
        ("not happy", "not happy"),
        ("sad happy", "sad happy"),
        ("suprise", "suprise"),
    ],
)
def test_words_of_expressions(word, name):
    assert canonical_or_same(word, CANONICAL) == name


@pytest.mark.parametrize(
    ("word", "number"),
    [
        ("7", 7),
        ("class_3", 3),
        ("007", 7),
        ("3.0", 3),
        ("3.5", None),
        ("3 happy", None),
        ("S010", None),
    ],
)
def test_numbers(word, number):
    assert class_number(word) == number


def test_expressions_come_first_and_other_words_stay():
    words = resolve_words(["sad", "bored", "1 happy", "sadness"], where=HERE)
    assert words.classes == ("happiness", "sadness", "bored")
    assert words.index == {"sad": 1, "bored": 2, "1 happy": 0, "sadness": 1}


@pytest.mark.parametrize(
    ("numbers", "classes", "expected"),
    [
        ("012", "fear,anger,sadness", ("fear", "anger", "sadness")),
        ("123", "fear,anger,sadness", ("fear", "anger", "sadness")),
        ("02", "fear,anger,sadness", ("fear", "sadness")),
        ("13", "fear,anger,sadness", ("fear", "sadness")),
        ("12", "1,2", ("1", "2")),
    ],
)
def test_numbers_in_the_order_of_classes(numbers, classes, expected):
    words = resolve_words(numbers, where=HERE, classes=classes)
    assert tuple(words.classes[words.index[number]] for number in numbers) == expected


@pytest.mark.parametrize(
    ("words", "options", "reason"),
    [
        ("1234567", {}, "codes=rafdb.*1 surprise"),
        ("0123456", {}, "codes=affectnet7.*codes=fer2013"),
        ("12", {"classes": "a,b,c"}, "do not fit"),
        ("0123", {"classes": "a,b,c"}, "do not fit"),
        ("12", {"codes": "raf"}, "unknown codes 'raf'.*Did you mean 'rafdb'"),
        (["happy"], {"codes": "rafdb"}, "no such class numbers"),
        ("01234", {"codes": "rafdb"}, "no such class numbers.*found 0"),
        ("1234567", {"codes": "fer2013"}, "no such class numbers.*found 7"),
        (["[0, 1]", "[1, 0]"], {}, "values, not classes"),
        (["happy"], {"classes": "sadness"}, r"'happy' is not in the label set.*happy \(1\)"),
        (["happy"], {"classes": "a,a"}, "different names"),
    ],
)
def test_unclear_words_are_refused(words, options, reason):
    with pytest.raises(DataError, match=reason):
        resolve_words(words, where=HERE, **options)


def test_unknown_words_that_differ_in_case_are_refused():
    with pytest.raises(LabelError, match=r"differ in case only.*Bored, bored"):
        resolve_words(["bored", "Bored"], where=HERE)


def test_remarks_name_the_nearest_expression():
    (finding,) = remark_on_words(["happy", "suprise", "bored"])
    assert finding.message.endswith("'bored', 'suprise' (nearest to 'surprise')")
    # a dataset with classes of its own needs no remark
    assert remark_on_words(["bored", "tired"]) == []
    assert remark_on_words(["happy", "3 sad"]) == []
