"""Loops that end at an error: values before it, then the error."""

from __future__ import annotations

import pytest

from ke2nt.runtime.until_error import UntilError


def count(last, error=None):
    yield from range(last)
    if error is not None:
        raise error


def test_without_an_error_nothing_is_raised():
    values = UntilError(count(3))
    assert list(values) == [0, 1, 2]
    values.reraise()


@pytest.mark.parametrize("error", [ValueError("x"), KeyboardInterrupt()])
def test_the_error_comes_after_the_values(error):
    values = UntilError(count(3, error))
    assert list(values) == [0, 1, 2]
    with pytest.raises(type(error)) as caught:
        values.reraise()
    assert caught.value is error


def test_other_exits_are_not_held_back():
    values = iter(UntilError(count(3, SystemExit(1))))
    assert [next(values) for _ in range(3)] == [0, 1, 2]
    with pytest.raises(SystemExit):
        next(values)
