"""Banks of all prompt sets, built, verified, packed and unpacked elsewhere."""

from __future__ import annotations

import json
import shutil
import zipfile

import pytest
from fake_text import FakeEncoder, small_prompts
from tiny_text_towers import open_clip_folder
from typer.testing import CliRunner

from ke2nt.banks.bank_cache import BankCache
from ke2nt.banks.bank_pack import pack_banks, unpack_banks
from ke2nt.banks.text_bank import TextBank
from ke2nt.cli.cache import app
from ke2nt.errors import CacheError, ConfigError, PromptError
from ke2nt.resources import list_resources
from ke2nt.vlm.base import WeightsUnavailableError


@pytest.fixture
def packed(tmp_path):
    """A cache with two banks, their keys, and their pack."""
    cache = BankCache(tmp_path / "here", TextBank)
    for encoder in (FakeEncoder(), FakeEncoder(scale=7.0)):
        encoder.weights = f"{encoder.scale}" * 20
        TextBank.build(small_prompts(), encoder, cache_dir=cache.folder)
    keys = [entry.key for entry in cache.entries()]
    pack_banks(cache, keys, tmp_path / "banks.zip")
    return cache, keys, tmp_path / "banks.zip"


def call(*words):
    done = CliRunner().invoke(app, list(map(str, words)), catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.stdout


def rewrite(path, change):
    """Write a pack again with its files (name, bytes) changed."""
    with zipfile.ZipFile(path) as archive:
        files = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in change(files).items():
            archive.writestr(name, data)


def test_unpacked_banks_are_the_packed_ones(packed, tmp_path):
    cache, keys, path = packed
    there = BankCache(tmp_path / "there", TextBank)
    assert unpack_banks(there, path) == dict.fromkeys(keys, "added")
    for key in keys:
        assert there.read(key).embeddings.equal(cache.read(key).embeddings)
        assert there.read(key).provenance == cache.read(key).provenance
    assert unpack_banks(there, path) == dict.fromkeys(keys, "present")

    # a damaged entry is replaced, and the same banks make the same file
    (there.path(keys[0]) / "text_bank.safetensors").write_bytes(b"")
    assert unpack_banks(there, path) == {keys[0]: "added", keys[1]: "present"}
    pack_banks(there, keys[::-1], tmp_path / "again.zip")
    assert (tmp_path / "again.zip").read_bytes() == path.read_bytes()


def flip(files):
    name = next(name for name in files if name.endswith(".safetensors"))
    return {**files, name: files[name][:-1] + bytes([files[name][-1] ^ 1])}


def rename(files):
    key = next(iter(files)).partition("/")[0]
    return {name.replace(key, "0" * 64): data for name, data in files.items()}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (flip, "in the pack is damaged.*digest differs"),
        (rename, "in the pack is damaged.*another recipe"),
        (lambda files: dict(list(files.items())[:-1]), "in the pack is damaged"),
        (lambda files: {**files, "../x": b""}, "does not hold text banks alone"),
        (lambda files: {}, "does not hold text banks alone"),
    ],
)
def test_altered_packs_add_nothing(packed, tmp_path, change, message):
    _, _, path = packed
    rewrite(path, change)
    there = BankCache(tmp_path / "there", TextBank)
    with pytest.raises(CacheError, match=message):
        unpack_banks(there, path)
    assert not there.folder.exists()
    assert not (tmp_path / "x").exists()


@pytest.mark.parametrize("content", [b"", b"<html>", None])
def test_other_files_are_refused(packed, tmp_path, content):
    _, _, path = packed
    path.write_bytes(path.read_bytes()[:-200] if content is None else content)
    with pytest.raises(CacheError, match="not a pack of text banks"):
        unpack_banks(BankCache(tmp_path / "there", TextBank), path)


def test_damaged_or_absent_banks_are_not_packed(packed, tmp_path):
    cache, keys, _ = packed
    (cache.path(keys[0]) / "text_bank.safetensors").write_bytes(b"")
    with pytest.raises(CacheError):
        pack_banks(cache, keys, tmp_path / "new.zip")
    with pytest.raises(CacheError, match="no text banks to pack"):
        pack_banks(BankCache(tmp_path / "empty", TextBank), [], tmp_path / "new.zip")
    assert not (tmp_path / "new.zip").exists()


def test_commands_carry_the_banks_of_all_sets(tmp_path, monkeypatch):
    spec = open_clip_folder(tmp_path, "siglip")
    monkeypatch.setattr("ke2nt.resources.list_resources", _only(["simple", "paper"]))
    here, there, pack = tmp_path / "here", tmp_path / "there", tmp_path / "banks.zip"
    words = ["build", "--all-prompts", "--encoder", spec, "--cache-dir", here, "--pack", pack]
    said = call(*words)
    assert "2 banks verified" in said
    assert f"written: {pack} (2 text banks" in said

    # elsewhere the encoder is absent
    shutil.rmtree(tmp_path / "siglip")
    assert "2 text banks added, 0 were there" in call("unpack", pack, "--cache-dir", there)
    call("pack", tmp_path / "again.zip", "--cache-dir", there)
    assert (tmp_path / "again.zip").read_bytes() == pack.read_bytes()
    found = json.loads(call("unpack", pack, "--cache-dir", there, "--json"))
    assert set(found["entries"].values()) == {"present"}
    key = next(iter(found["entries"]))
    call("pack", tmp_path / "one.zip", "--key", key[:8], "--cache-dir", there)
    with zipfile.ZipFile(tmp_path / "one.zip") as archive:
        assert {name.partition("/")[0] for name in archive.namelist()} == {key}


def test_unpacked_banks_serve_without_the_weights(packed, tmp_path):
    class Absent(FakeEncoder):
        def fingerprint(self):
            raise WeightsUnavailableError("absent")

    cache, _, path = packed
    there = BankCache(tmp_path / "there", TextBank)
    with pytest.raises(WeightsUnavailableError):
        TextBank.build(small_prompts(), Absent(), cache_dir=there.folder)
    unpack_banks(there, path)
    bank = TextBank.build(small_prompts(), Absent(), cache_dir=there.folder)
    expected = TextBank.build(small_prompts(), FakeEncoder(), cache_dir=cache.folder)
    assert bank.embeddings.equal(expected.embeddings)


def _only(names):
    return lambda kind: {name: path for name, path in list_resources(kind).items() if name in names}


@pytest.mark.parametrize(
    ("words", "error", "message"),
    [
        (["build"], PromptError, "no prompt set is named"),
        (["build", "--all-prompts", "--pack", "banks.tar"], ConfigError, r"expected FILE\.zip"),
        (["pack", "banks"], ConfigError, r"expected FILE\.zip"),
        (["unpack", "nope.zip"], CacheError, "no such file"),
        (["pack", "banks.zip", "--key", "abc"], CacheError, "no cache entries start with 'abc'"),
    ],
)
def test_wrong_words(tmp_path, monkeypatch, words, error, message):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(error, match=message):
        call(*words, "--cache-dir", tmp_path / "cache")
    assert list(tmp_path.iterdir()) == []
