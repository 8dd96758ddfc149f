"""`ke2nt prompts list|show|check`."""

from __future__ import annotations

import json

import pytest
from command_line import run_ke2nt

from ke2nt.labels import CANONICAL
from ke2nt.prompts.check import check_prompts, prompt_warnings
from ke2nt.prompts.prompt_set import PromptSet
from ke2nt.resources import list_resources


@pytest.fixture
def bad(tmp_path):
    path = tmp_path / "bad.yaml"
    path.write_text("templates: [a face]\nclasses: {anger: [no]}\ncolor: red\n")
    return path


@pytest.fixture
def doubtful(tmp_path):
    path = tmp_path / "doubtful.yaml"
    path.write_text(
        "name: other\n"
        "templates: ['the face looks {class}.', 'a face looks {class}']\n"
        "classes: {neutral: [calm], angry: [mad, cross], fear: [afraid, Mad]}\n"
    )
    return path


def test_list():
    done = run_ke2nt("prompts", "list")
    assert (done.returncode, done.stderr) == (0, "")
    for name in list_resources("prompts"):
        assert f" {name} " in done.stdout


def test_list_as_json():
    done = run_ke2nt("prompts", "list", "--json")
    rows = {row["name"]: row for row in json.loads(done.stdout)}
    assert list(rows) == list(list_resources("prompts"))
    assert rows["ensemble"]["templates"] == 24
    assert rows["ensemble"]["prompts"] == 24 * 8
    assert rows["paper"]["classes"] == list(CANONICAL)


def test_show():
    done = run_ke2nt("prompts", "show", "paper", "--classes", "anger, fear")
    assert done.returncode == 0
    assert "a photo of a person making an anger facial expression." in done.stdout
    assert "making a happiness facial" not in done.stdout
    assert "making a neutral facial" in done.stdout  # the anchor stays


def test_show_as_json():
    done = run_ke2nt("prompts", "show", "simple", "--classes", "fear,neutral", "--json")
    value = json.loads(done.stdout)
    assert value["rendered"] == {
        "fear": ["a photo of a fearful face."],
        "neutral": ["a photo of a neutral face."],
    }
    assert list(value["rendered"]) == ["fear", "neutral"]
    assert value["rendered_anchor"] == value["rendered"]["neutral"]


def test_show_of_an_unknown_class():
    done = run_ke2nt("prompts", "show", "paper", "--classes", "angr")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("error: unknown class 'angr'")
    assert done.stderr.count("\n") == 1


def test_check_of_valid_and_invalid_sets(bad, tmp_path):
    done = run_ke2nt("prompts", "check", "paper", bad, tmp_path / "absent.yaml")
    assert done.returncode == 2
    assert done.stderr == f"error: not valid: {bad}, {tmp_path / 'absent.yaml'}\n"
    for words in ("8 classes, 8 prompts", "{class} exactly once", "found False", "'color'"):
        assert words in done.stdout


def test_check_as_json(bad, doubtful):
    done = run_ke2nt("prompts", "check", bad, doubtful, "--json")
    first, second = json.loads(done.stdout)
    assert done.returncode == 2
    assert (first["target"], first["valid"], len(first["problems"])) == (str(bad), False, 3)
    assert (second["valid"], second["problems"]) == (True, [])
    assert len(second["warnings"]) > 0


def test_check_of_valid_sets():
    done = run_ke2nt("prompts", "check", "paper", "facs", "--json")
    assert (done.returncode, done.stderr) == (0, "")
    assert [row["warnings"] for row in json.loads(done.stdout)] == [[], []]


def test_warnings(doubtful):
    assert list(check_prompts(doubtful).warnings) == [
        "the word 'mad' is shared by angry and fear",
        "nearly the same prompts: 'the face looks calm.' (neutral) and 'a face looks calm' "
        "(neutral)",
        "nearly the same prompts: 'the face looks mad.' (angry) and 'a face looks mad' (angry) "
        "and 'the face looks Mad.' (fear) and 'a face looks Mad' (fear)",
        "nearly the same prompts: 'the face looks cross.' (angry) and 'a face looks cross' (angry)",
        "nearly the same prompts: 'the face looks afraid.' (fear) and 'a face looks afraid' (fear)",
        "the class 'angry' is called 'anger' in the datasets",
        "the file is called 'doubtful', but the set 'other'",
    ]


def test_warnings_about_descriptions():
    prompts = PromptSet(
        name="x",
        classes={"neutral": [], "a": []},
        descriptions={"neutral": ["rest", "still"], "a": ["rest"]},
    )
    assert prompt_warnings(prompts) == ["the prompt 'rest' is shared by neutral and a"]
    unused = PromptSet(
        name="x",
        templates=["{class}"],
        classes={"neutral": []},
        descriptions={"neutral": ["rest"]},
    )
    assert prompt_warnings(unused) == ["the templates are not used: no class has words"]
