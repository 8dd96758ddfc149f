from __future__ import annotations

import dataclasses
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from fake_text import FakeEncoder, small_prompts

from ke2nt.banks.bank_cache import BankRecipe
from ke2nt.banks.bank_files import write_bank
from ke2nt.banks.text_bank import TextBank
from ke2nt.errors import CacheError
from ke2nt.runtime.cache_folder import cache_folder
from ke2nt.vlm.base import WeightsUnavailableError

RECIPE = BankRecipe("fake", "w", "t", {"a": ("one", "two"), "b": ("three",)}, ("calm",))


@pytest.mark.parametrize(
    "change",
    [
        {"encoder": "other"},
        {"weights": "x"},
        {"tokenizer": "x"},
        {"prompts": {"a": ("one",), "b": ("three",)}},
        {"prompts": {"a": ("two", "one"), "b": ("three",)}},
        {"prompts": {"a": ("one", "two"), "c": ("three",)}},
        {"prompts": {"a": ("one", "two"), "b": ("three ",)}},
        {"anchor": ("rest",)},
        {"ensemble": "median"},
        {"dtype": "float16"},
        {"version": 2},
    ],
    ids=lambda change: next(iter(change)),
)
def test_every_part_of_the_recipe_changes_the_key(change):
    assert dataclasses.replace(RECIPE, **change).key != RECIPE.key


def test_every_field_of_the_recipe_is_in_its_facts():
    assert set(RECIPE.facts()) == {field.name for field in dataclasses.fields(BankRecipe)}
    assert BankRecipe.from_facts(RECIPE.facts()) == RECIPE


def test_the_order_of_classes_does_not_change_the_key():
    turned = dict(reversed(RECIPE.prompts.items()))
    assert dataclasses.replace(RECIPE, prompts=turned).key == RECIPE.key


def test_cache_hit_never_encodes(encoder):
    first = TextBank.build(small_prompts(), encoder)

    class Poisoned(FakeEncoder):
        def encode_text(self, prompts):
            raise AssertionError("a hit must not encode")

        check_lengths = encode_text

    second = TextBank.build(small_prompts(), Poisoned())
    assert torch.equal(first.embeddings, second.embeddings)
    assert torch.equal(first.neutral_raw, second.neutral_raw)
    assert first.provenance == second.provenance

    turned = TextBank.build(small_prompts(), Poisoned(), classes=["fear", "neutral", "happiness"])
    assert torch.equal(turned.raw, first.raw[[2, 0, 1]])


def test_equal_prompts_under_another_name_share_an_entry(encoder, cache):
    TextBank.build(small_prompts(), encoder)
    bank = TextBank.build(small_prompts(name="twin"), encoder)
    assert len(encoder.calls) == 1
    assert bank.provenance["prompt_set"] == "twin"


@pytest.mark.parametrize("name", ["weights", "tokenizer"])
def test_another_encoder_makes_another_entry(encoder, cache, name):
    TextBank.build(small_prompts(), encoder)
    setattr(encoder, name, "0" * 64)
    TextBank.build(small_prompts(), encoder)
    assert len(encoder.calls) == len(list(cache.entries())) == 2


def only_entry(cache):
    (entry,) = cache.entries()
    return entry


@pytest.mark.parametrize("name", ["text_bank.safetensors", "text_bank.json"])
@pytest.mark.parametrize("damage", ["remove", "truncate", "flip", "empty"])
def test_damaged_entry_is_reported_and_made_anew(encoder, cache, capsys, name, damage):
    first = TextBank.build(small_prompts(), encoder)
    path = only_entry(cache).path / name
    data = bytearray(path.read_bytes())

    if damage == "remove":
        path.unlink()
    elif damage == "flip":
        data[len(data) - 10] ^= 1
        path.write_bytes(data)
    else:
        path.write_bytes(data[: len(data) // 2] if damage == "truncate" else b"")

    second = TextBank.build(small_prompts(), encoder)
    assert len(encoder.calls) == 2
    assert torch.equal(first.embeddings, second.embeddings)

    printed = capsys.readouterr()
    assert printed.out == ""
    assert name in printed.err.replace("\n", "")
    assert cache.read(only_entry(cache).key).classes == first.classes

    TextBank.build(small_prompts(), encoder)
    assert len(encoder.calls) == 2


def test_valid_entry_under_a_wrong_key_is_rejected(encoder, cache):
    TextBank.build(small_prompts(), encoder)
    stranger = TextBank.build(small_prompts(templates=["{class}"]), encoder)
    keys = {entry.facts["provenance"]["prompts"]["fear"][0]: entry.key for entry in cache.entries()}
    folder = cache.path(keys["an afraid face"])
    write_bank(stranger, folder / "text_bank.safetensors", folder / "text_bank.json")
    bank = TextBank.build(small_prompts(), encoder)
    assert len(encoder.calls) == 3
    assert not torch.equal(bank.raw, stranger.raw)


def test_eight_processes_encode_once(tmp_path, cache):
    log = tmp_path / "log"
    script = tmp_path / "eight.py"

    script.write_text(
        "import multiprocessing, sys, pathlib, torch\n"
        "from fake_text import FakeEncoder, small_prompts\n"
        "from ke2nt.banks.text_bank import TextBank\n"
        "torch.set_num_threads(1)\n"
        "def work(gate, log):\n"
        "    gate.wait()\n"
        "    bank = TextBank.build(small_prompts(), FakeEncoder(log))\n"
        "    assert bank.num_classes == 3\n"
        "context = multiprocessing.get_context('fork')\n"
        "gate = context.Barrier(8)\n"
        "log = pathlib.Path(sys.argv[1])\n"
        "all_ = [context.Process(target=work, args=(gate, log)) for _ in range(8)]\n"
        "[p.start() for p in all_]; [p.join() for p in all_]\n"
        "sys.exit(sum(p.exitcode != 0 for p in all_))\n"
    )

    paths = os.pathsep.join([str(Path(__file__).parents[1]), os.environ.get("PYTHONPATH", "")])
    env = {**os.environ, "PYTHONPATH": paths}
    done = subprocess.run(
        [sys.executable, str(script), str(log)], env=env, timeout=120, capture_output=True
    )

    assert done.returncode == 0, done.stderr.decode()
    assert log.read_text() == "encoded\n"

    entry = only_entry(cache)
    cache.read(entry.key)

    assert cache.leftovers() == []


def test_absent_weights_fall_back_on_an_entry_with_the_same_name(encoder):
    known = TextBank.build(small_prompts(), encoder)

    class Absent(FakeEncoder):
        def fingerprint(self):
            raise WeightsUnavailableError("no weights here")

    bank = TextBank.build(small_prompts(), Absent(), classes=["fear", "neutral", "happiness"])
    assert torch.equal(bank.raw, known.raw[[2, 0, 1]])
    assert "absent" in bank.provenance["note"]

    with pytest.raises(WeightsUnavailableError):
        TextBank.build(small_prompts(templates=["{class}"]), Absent())
    other = Absent()
    other.id = "other"
    with pytest.raises(WeightsUnavailableError):
        TextBank.build(small_prompts(), other)


def test_encoder_error_leaves_no_files(encoder, cache):
    def broken(prompts):
        raise OSError("a fault inside the encoder")

    encoder.encode_text = broken
    with pytest.raises(OSError, match="inside the encoder"):
        TextBank.build(small_prompts(), encoder)
    assert list(cache.entries()) == []
    assert cache.leftovers() == []


def test_unusable_cache_folder_is_named(encoder, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(CacheError, match="--cache-dir"):
        TextBank.build(small_prompts(), encoder, cache_dir=tmp_path / "file")


def test_cache_folder(tmp_path, monkeypatch):
    assert cache_folder(tmp_path / "asked") == tmp_path / "asked"
    monkeypatch.setenv("KE2NT_CACHE", str(tmp_path / "set"))
    assert cache_folder() == tmp_path / "set"
    monkeypatch.delenv("KE2NT_CACHE")
    assert cache_folder().name == "ke2nt"
