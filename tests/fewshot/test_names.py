"""Methods, shots and seeds as they are typed."""

from __future__ import annotations

import pytest

from ke2nt.errors import ConfigError
from ke2nt.fewshot import FewShotOptions
from ke2nt.fewshot.methods import METHODS
from ke2nt.fewshot.names import METHOD_NAMES, check_methods, read_seeds, read_shots


def test_every_name_has_a_method():
    assert tuple(METHODS) == METHOD_NAMES


def test_values_are_read():
    assert read_shots("16, all,1,2") == (1, 2, 16, "all")
    assert read_seeds("3,1") == (3, 1)
    assert check_methods(["tip-adapter", "zero-shot"]) == ("zero-shot", "tip-adapter")
    assert FewShotOptions(shots=(4, 1)).shots == (1, 4)


@pytest.mark.parametrize(
    ("read", "text", "message"),
    [
        (read_shots, "1,two", "--shots is not valid.*found 'two'"),
        (read_shots, "0", "positive whole numbers.*found '0'"),
        (read_shots, "1,,2", "found ''"),
        (read_shots, "-1", "found '-1'"),
        (read_shots, "1.5", "found '1.5'"),
        (read_shots, "4,2,4", "a number of shots is named twice; found 4"),
        (read_shots, "all,all", "named twice; found all"),
        (read_seeds, "1,x", "--seeds is not valid.*found 'x'"),
        (read_seeds, "", "--seeds is not valid"),
        (read_seeds, "²", "--seeds is not valid"),
        (read_seeds, "1,1", "a seed is named twice"),
        (lambda text: check_methods([text]), "tip-adaptor", "Did you mean 'tip-adapter'"),
        (lambda text: check_methods([text] * 2), "zero-shot", "a method is named twice"),
        (lambda _: check_methods([]), "", "no method is named"),
        (lambda _: FewShotOptions(shots=(True,)), "", "a number of shots is not valid"),
        (lambda _: FewShotOptions(seeds=(-1,)), "", "a seed is not valid"),
    ],
)
def test_wrong_values_are_named(read, text, message):
    with pytest.raises(ConfigError, match=message):
        read(text)
