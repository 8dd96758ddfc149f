"""A prompt file is plain YAML of bounded size; errors name the line."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ke2nt.errors import PromptError
from ke2nt.prompts.prompt_set import PromptSet
from ke2nt.prompts.reader import MAX_BYTES, read_yaml

GOOD = "name: mine\ntemplates: ['a {class} face.']\nclasses: {neutral: [calm], anger: [angry]}\n"


@pytest.fixture
def write(tmp_path):
    def write(content):
        path = tmp_path / "mine.yaml"
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return write


def test_a_file_is_loaded(write):
    prompts = PromptSet.load(write(GOOD))
    assert prompts.render("anger") == ("an angry face.",)


def test_byte_order_mark_is_ignored(write):
    assert PromptSet.load(write(GOOD.encode("utf-8-sig"))).name == "mine"


def test_default_name_is_the_file_name(write):
    assert PromptSet.load(write(GOOD.replace("name: mine\n", ""))).name == "mine"


def test_folded_text_is_one_line(write):
    text = "templates:\n- >\n  a photo of a\n  {class} face.\nclasses: {anger: [angry]}\n"
    assert PromptSet.load(write(text)).render("anger") == ("a photo of an angry face.",)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("", "found an empty file"),
        ("- a\n- b", "found a list"),
        ("just text", "found a str"),
        ("a: 1\nb: 2\na: 3", "the key 'a' is given twice .*, line 3"),
        ("classes:\n  x: [a]\n  y: [b]\n  x: [c]", "the key 'x' is given twice .*, line 4"),
        ("a: [1\nb: 2", r"not valid YAML: .*, line 2"),
        ("a: &x [1]\nb: *x", r"aliases \(\*name\) are not allowed .*, line 2"),
        ("a: !!python/object:os.system x", "could not determine a constructor .*, line 1"),
        ("templates:\n- {class} face", "line 2.*Put quotes around text that has a brace"),
        ("a: 2020-13-45", "not valid YAML: month must be"),
        ("a: !!float x", "not valid YAML"),
        ("? [a]\n: b", "not valid YAML: .*found unhashable key"),
        ("a: \x01", "not valid YAML: special characters are not allowed"),
        ("[" * 5000, "nested too deeply"),
        (b"a: 1\nb: caf\xe9", "not UTF-8 text .*, line 2.*byte 0xe9"),
        ("a: b\n---\nc: d", "expected a single document"),
        ("#" * (MAX_BYTES + 1), "too large .*at most 1,000,000 bytes"),
    ],
)
def test_invalid_files(write, content, words):
    path = write(content)
    with pytest.raises(PromptError, match=f"(?s){words}") as caught:
        read_yaml(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_the_largest_file_is_read(write):
    assert read_yaml(write(GOOD + "#" * (MAX_BYTES - len(GOOD))))["name"] == "mine"


def test_no_such_file(tmp_path):
    with pytest.raises(PromptError, match="no prompt file or shipped name"):
        PromptSet.load(tmp_path / "absent.yaml")


def test_a_file_that_cannot_be_read(tmp_path):
    with pytest.raises(PromptError, match="cannot read the prompt file"):
        read_yaml(tmp_path)


def test_errors_of_the_set_name_the_file(write):
    path = write(GOOD + "color: red\n")
    with pytest.raises(PromptError, match=r"unknown key 'color'.*mine\.yaml"):
        PromptSet.load(path)


@settings(deadline=None, derandomize=True, max_examples=60)
@given(st.binary(max_size=60) | st.text("{}[]:-&*!?|>'\"#%@`,. \nab1", max_size=60))
def test_any_bytes_give_a_mapping_or_a_prompt_error(tmp_path_factory, content):
    path = tmp_path_factory.getbasetemp() / "any_bytes.yaml"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with suppress(PromptError):
        assert isinstance(read_yaml(path), dict)
