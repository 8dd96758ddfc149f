"""Errors say what was expected, what was found, where, and what to do."""

from __future__ import annotations

import copy
import inspect
import pickle

import pytest

from ke2nt import errors
from ke2nt.errors import Ke2ntError, MissingExtraError, PromptError
from ke2nt.prompts.problems import PromptSetError


def test_all_parts_in_order():
    error = Ke2ntError("wrong size", expected="3", found=4, where="a.yaml", hint="Type x.")
    assert str(error) == "wrong size (in a.yaml); expected 3; found 4. Type x."
    assert (error.expected, error.found, error.where, error.hint) == ("3", 4, "a.yaml", "Type x.")


def test_missing_parts_are_left_out():
    assert str(Ke2ntError("wrong")) == "wrong"
    assert str(Ke2ntError("wrong", hint="Do this.")) == "wrong. Do this."
    assert str(Ke2ntError("wrong", found=0)) == "wrong; found 0"


def test_one_family_with_exit_code_2():
    kinds = [
        kind
        for _, kind in inspect.getmembers(errors, inspect.isclass)
        if kind.__module__ == errors.__name__
    ]
    assert sorted(kind.__name__ for kind in kinds) == errors.__all__
    raised = [kind for kind in kinds if not issubclass(kind, Warning)]
    assert all(issubclass(kind, Ke2ntError) and kind.exit_code == 2 for kind in raised)
    assert len(kinds) - len(raised) == 1  # warnings are no errors


def test_missing_extra_has_its_install_command():
    error = MissingExtraError("sounddevice", extra="audio", purpose="sound")
    assert "sounddevice is needed for sound" in str(error)
    assert str(error).endswith("Type: pip install 'ke2nt[audio]'")


@pytest.mark.parametrize(
    "error",
    [
        PromptError("wrong", expected=[1], found="x", where="here", hint="Do this."),
        MissingExtraError("a", extra="b", purpose="c"),
        PromptSetError(["one", "two"], where="file"),
    ],
)
@pytest.mark.parametrize("travel", [lambda e: pickle.loads(pickle.dumps(e)), copy.copy])
def test_errors_can_be_pickled(error, travel):
    back = travel(error)
    assert type(back) is type(error)
    assert str(back) == str(error)
    assert vars(back) == vars(error)
