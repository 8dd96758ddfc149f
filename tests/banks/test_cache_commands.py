from __future__ import annotations

import json
import os
import time

import pytest
from command_line import run_ke2nt
from fake_text import FakeEncoder, small_prompts
from typer.testing import CliRunner

from ke2nt.banks.text_bank import TextBank
from ke2nt.cli.cache import app
from ke2nt.errors import CacheError


def call(*words):
    """Run a command in this process; its error is raised, as `main` would catch it."""
    result = CliRunner().invoke(app, list(words))
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == 0, result.output
    return result.stdout


def call_json(*words):
    return json.loads(call(*words, "--json"))


@pytest.fixture
def keys(cache):
    """Two entries: the second has another template for every class, and no happiness."""
    TextBank.build(small_prompts(), FakeEncoder())
    first = {entry.key for entry in cache.entries()}
    other = small_prompts(templates=["a {class} face"])
    TextBank.build(other, FakeEncoder(scale=7.0), classes=["neutral", "fear"])
    second = {entry.key for entry in cache.entries()} - first
    return first.pop(), second.pop()


def damage(cache, key):
    path = cache.path(key) / "text_bank.safetensors"
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)


def test_build_takes_shipped_banks(cache):
    chosen = ("--classes", "fear,anger")
    row, other = call_json("build", "--prompts", "paper", "-p", "simple", *chosen)
    assert (row["prompts"], other["prompts"]) == ("paper", "simple")
    assert row["origin"] == "shipped"
    assert row["classes"] == ["fear", "anger"]
    assert row["width"] == 384
    assert row["logit_scale"] == 100.0
    assert "2 classes" in call("build", "--prompts", "paper", *chosen)


def test_list(keys, cache):
    listed = call_json("list")
    assert listed["folder"] == str(cache.folder)

    by_key = {row["key"]: row for row in listed["entries"]}
    assert set(by_key) == set(keys)
    assert by_key[keys[1]]["classes"] == ["neutral", "fear"]
    assert by_key[keys[0]]["encoder"] == "fake"
    assert by_key[keys[0]]["bytes"] > 500

    text = call("list")
    assert keys[0][:12] in text
    assert "small" in text


def test_list_without_a_cache(tmp_path):
    assert call_json("list", "--cache-dir", str(tmp_path / "none"))["entries"] == []


def test_show(keys):
    shown = call_json("show", keys[0][:8])
    assert shown["key"] == keys[0]
    assert shown["provenance"]["prompts"]["fear"] == ["an afraid face", "the face looks afraid"]
    assert "  the face looks afraid" in call("show", keys[0]).splitlines()


def test_show_needs_one_key(keys):
    for prefix, words in (("zz", "no cache entries"), ("", "no cache entries")):
        with pytest.raises(CacheError, match=words):
            call("show", prefix)


def test_diff(keys):
    changes = call_json("diff", *keys)

    assert changes["settings"] == {"logit_scale": [100.0, 7.0]}

    rows = {row["class"]: row for row in changes["classes"]}
    assert rows["fear"]["removed"] == ["the face looks afraid"]
    assert rows["fear"]["added"] == []
    assert -1 < rows["fear"]["cosine"] < 0.9999
    assert rows["happiness"]["cosine"] is None
    assert len(rows["happiness"]["removed"]) == 4
    assert changes["anchor"]["removed"] == ["the face looks neutral"]

    same = call_json("diff", keys[0], keys[0])
    assert same["settings"] == {}
    assert [row["cosine"] for row in same["classes"]] == pytest.approx([1, 1, 1])
    assert "  - the face looks afraid" in call("diff", *keys).splitlines()


def test_verify_and_prune(keys, cache):
    assert "none damaged" in call("verify")
    assert call_json("prune") == []

    damage(cache, keys[1])
    with pytest.raises(CacheError, match="1 of 2"):
        call("verify")
    states = {row["key"]: row["state"] for row in rows_of(call("list"))}
    assert states == {keys[0][:12]: "", keys[1][:12]: ""}  # the list reads the JSON alone

    (removed,) = call_json("prune")
    assert removed["key"] == keys[1]
    assert "altered" in removed["reason"]
    assert [entry.key for entry in cache.entries()] == [keys[0]]


def rows_of(table):
    cells = [[part.strip() for part in line.split("│")[1:-1]] for line in table.splitlines()]
    return [{"key": row[0], "state": row[-1]} for row in cells if len(row) > 2]


def test_prune_by_age_and_all(keys, cache):
    old = time.time() - 10 * 86400
    os.utime(cache.path(keys[0]), (old, old))
    (removed,) = call_json("prune", "--older-than", "9")
    assert removed["key"] == keys[0]
    assert "1 deleted" in call("prune", "--all")
    assert list(cache.entries()) == []


def test_prune_removes_leftovers_of_interrupted_writes(keys, cache):
    for name, age in ((".half.old", 7200), (".half.new", 0)):
        folder = cache.folder / "banks" / name
        folder.mkdir()
        os.utime(folder, (time.time() - age, time.time() - age))
    (removed,) = call_json("prune")
    assert removed["key"] == ".half.old"
    assert [path.name for path in cache.leftovers()] == [".half.new"]


def test_markup_in_an_entry_is_plain_text(cache):
    TextBank.build(small_prompts(name="a"), type("E", (FakeEncoder,), {"id": "[/red] [x]"})())
    assert "[/red] [x]" in call("list")


def test_error_contract_of_the_command_line(keys, cache):
    damage(cache, keys[0])
    done = run_ke2nt("cache", "verify", "--json")

    assert done.returncode == 2
    assert {row["key"] for row in json.loads(done.stdout)["entries"] if row["problem"]} == {keys[0]}
    assert len(done.stderr.splitlines()) == 1
    assert done.stderr.startswith("error: 1 of 2 cache entries")

    done = run_ke2nt(
        "cache", "build", "--prompts", "paper", "--encoder", "openclip:ViT-B-16/openai"
    )

    assert (done.returncode, done.stdout) == (2, "")
    assert "Did you mean 'open_clip'" in done.stderr
    assert len(done.stderr.splitlines()) == 1
