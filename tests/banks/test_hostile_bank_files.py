"""Whatever is in the files of a bank, only ke2nt's own errors come out."""

from __future__ import annotations

import contextlib
import json
import struct
import tempfile
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ke2nt.banks.bank_cache import BankRecipe
from ke2nt.banks.bank_files import FACTS, TENSORS
from ke2nt.banks.text_bank import TextBank
from ke2nt.errors import Ke2ntError
from ke2nt.runtime.digest import digest_bytes, digest_json

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3)
    ),
    max_leaves=6,
)
FIELDS = ["format", "version", "classes", "neutral_index", "logit_scale", "width", "provenance"]


def saved(folder: Path) -> dict:
    TextBank.from_tensors(
        torch.eye(3), classes=["neutral", "b", "c"], neutral_index=0, logit_scale=9.0
    ).save(folder)
    return json.loads((folder / FACTS).read_text())


def forge(folder: Path, facts: dict) -> None:
    """Write facts with the digest that fits them, as an attacker would."""
    body = {name: value for name, value in facts.items() if name != "facts_sha256"}
    with contextlib.suppress(ValueError):
        body["facts_sha256"] = digest_json(body)
    (folder / FACTS).write_text(json.dumps(body))


@pytest.mark.parametrize("name", [FACTS, TENSORS])
def test_a_file_that_git_did_not_fetch_is_named(tmp_path, name):
    saved(tmp_path)
    (tmp_path / name).write_text(
        "version https://git-lfs.github.com/spec/v1\noid sha256:4\nsize 1\n"
    )
    with pytest.raises(Ke2ntError, match=rf"{name}.*Git LFS pointer"):
        TextBank.load(tmp_path)


@settings(max_examples=60, deadline=None)
@given(field=st.sampled_from([*FIELDS, "tensors_sha256"]), value=JSON)
def test_forged_facts(field, value):
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        forge(folder, {**saved(folder), field: value})
        with contextlib.suppress(Ke2ntError):
            TextBank.load(folder)


TENSOR = st.fixed_dictionaries(
    {
        "dtype": st.sampled_from(["F32", "F64", "BF16", "I64", "BOOL", "F8_E4M3", "X9", 7]),
        "shape": st.lists(st.integers(-1, 2**62), max_size=3) | st.just([3, 3]),
        "data_offsets": st.lists(st.integers(0, 200), min_size=2, max_size=2) | st.just([0, 36]),
    }
)
NAMES = ["embeddings", "neutral", "neutral_raw", "raw", "__metadata__", "x"]


@settings(max_examples=80, deadline=None)
@given(
    header=st.dictionaries(st.sampled_from(NAMES), TENSOR | JSON, max_size=5) | JSON,
    length=st.none() | st.integers(0, 2**64 - 1),
    body=st.binary(max_size=100),
)
def test_forged_tensors(header, length, body):
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        facts = saved(folder)
        text = json.dumps(header).encode()
        data = struct.pack("<Q", len(text) if length is None else length) + text + body
        (folder / TENSORS).write_bytes(data)
        forge(folder, {**facts, "tensors_sha256": digest_bytes(data)})
        with contextlib.suppress(Ke2ntError):
            TextBank.load(folder)


@settings(max_examples=60, deadline=None)
@given(data=st.binary(max_size=60))
def test_any_bytes(data):
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        saved(folder)
        (folder / FACTS).write_bytes(data)
        with pytest.raises(Ke2ntError):
            TextBank.load(folder)


@pytest.mark.parametrize("data", ["[" * 100_000, '{"format": "\\ud800"}', "1" * 10_000, "NaN"])
def test_hostile_json(tmp_path, data):
    saved(tmp_path)
    (tmp_path / FACTS).write_text(data)
    with pytest.raises(Ke2ntError):
        TextBank.load(tmp_path)


def test_half_characters_are_refused(tmp_path):
    facts = saved(tmp_path)
    forge(tmp_path, {**facts, "classes": ["neutral", "b", "\ud800"]})
    with pytest.raises(Ke2ntError, match="surrogates"):
        TextBank.load(tmp_path)


@settings(max_examples=60, deadline=None)
@given(
    field=st.sampled_from(sorted(BankRecipe("e", "w", "t", {"a": ("b",)}, ("c",)).facts())),
    value=JSON,
)
def test_forged_recipes(field, value):
    facts = BankRecipe("e", "w", "t", {"a": ("b",)}, ("c",)).facts()
    with contextlib.suppress(ValueError):
        assert isinstance(BankRecipe.from_facts({**facts, field: value}).key, str)


def test_a_file_in_place_of_the_folder_is_named(tmp_path):
    (tmp_path / "bank.safetensors").write_bytes(b"x")
    with pytest.raises(Ke2ntError, match=r"expected a folder with text_bank.json.*found a file"):
        TextBank.load(tmp_path / "bank.safetensors")
