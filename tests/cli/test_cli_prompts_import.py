"""`ke2nt prompts import` with and without an encoder."""

from __future__ import annotations

import json

import pytest
from tiny_text_towers import open_clip_folder
from typer.testing import CliRunner

from ke2nt.cli.prompts import app
from ke2nt.errors import ConfigError, TextEncoderError
from ke2nt.prompts.prompt_set import PromptSet

WORDS = {"Happy": ["a smile", "a smile!", " ".join(["very"] * 30)], "sad": ["tears", "tears"]}


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "words.json"
    path.write_text(json.dumps(WORDS))
    return path


@pytest.fixture(scope="module")
def spec(tmp_path_factory):
    return open_clip_folder(tmp_path_factory.mktemp("towers"), "clip")


def run(*words):
    done = CliRunner().invoke(app, ["import", *map(str, words)], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.stdout


def test_what_was_read_is_said(file, tmp_path):
    said = run(file, "--out", tmp_path / "described.yaml")
    assert "4 prompts: happiness 3, sadness 1" in said
    assert "'Happy' is 'happiness' in the datasets" in said
    assert "sadness: 1 repeated sentences left out" in said
    assert "note: nearly the same prompts: 'a smile' (happiness)" in said
    prompts = PromptSet.load(tmp_path / "described.yaml")
    assert prompts.name == "described"
    assert prompts.class_names == ("happiness", "sadness")


def test_an_encoder_finds_long_and_near_prompts(file, spec, tmp_path):
    words = [file, "--out", tmp_path / "a.yaml", "--encoder", spec, "--cache-dir", tmp_path / "c"]
    found = json.loads(run(*words, "--json"))
    assert found["too_long"] == [WORDS["Happy"][2]]
    assert not found["left_out"]
    assert len(PromptSet.load(tmp_path / "a.yaml").render("happiness")) == 3

    # with a threshold of 0 every pair of the three short prompts is near
    found = json.loads(run(*words, "--drop-long", "--threshold", "0.0", "--json"))
    assert found["left_out"]
    assert found["classes"] == {"happiness": 2, "sadness": 1}
    assert len(PromptSet.load(tmp_path / "a.yaml").render("happiness")) == 2
    assert {each["first"] for each in found["near"]} <= {"a smile", "a smile!", "tears"}
    assert "1 would be truncated, too long for" in run(*words)


@pytest.mark.parametrize(
    ("words", "error", "message"),
    [
        (["--out", "a.txt"], ConfigError, "--out is not a YAML file"),
        (["--out", "a.yaml", "--drop-long"], ConfigError, "needs an encoder"),
        (["--out", "a.yaml", "--descriptors", "--template", "x"], ConfigError, "one of both"),
        (["--out", "a.yaml", "--encoder", "nope"], TextEncoderError, "unknown text encoder"),
    ],
)
def test_wrong_options_write_nothing(file, tmp_path, monkeypatch, words, error, message):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(error, match=message):
        CliRunner().invoke(app, ["import", str(file), *words], catch_exceptions=False)
    assert [path.name for path in tmp_path.iterdir()] == ["words.json"]
