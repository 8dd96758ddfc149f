from __future__ import annotations

import dataclasses
import json
import math

import pytest
import torch

from ke2nt.banks.text_bank import TextBank
from ke2nt.errors import CheckpointError, LabelError, TextEncoderError

CLASSES = ("neutral", "happiness", "fear")


@pytest.fixture
def raw():
    return torch.tensor([[3.0, 4.0, 0.0], [0.0, 0.0, 2.0], [1.0, 1.0, 1.0]])


@pytest.fixture
def bank(raw):
    return TextBank.from_tensors(raw, classes=CLASSES, neutral_index=0, logit_scale=50)


def test_from_tensors_normalizes_and_keeps_raw(bank, raw):
    assert torch.equal(bank.raw, raw)
    third = 1 / math.sqrt(3)
    expected = [[0.6, 0.8, 0.0], [0.0, 0.0, 1.0], [third, third, third]]
    torch.testing.assert_close(bank.embeddings, torch.tensor(expected))
    torch.testing.assert_close(bank.neutral, torch.tensor([0.6, 0.8, 0.0]))
    assert torch.equal(bank.neutral_raw, raw[0])
    assert (bank.dim, bank.num_classes, bank.logit_scale) == (3, 3, 50.0)


def test_bank_does_not_share_memory_with_its_source(bank, raw):
    raw.zero_()
    assert float(bank.raw.abs().sum()) > 0
    assert float(bank.neutral_raw.abs().sum()) > 0


def test_separate_anchor_without_a_neutral_class(raw):
    anchor = torch.tensor([0.0, 2.0, 0.0])
    bank = TextBank.from_tensors(
        raw, classes=["a", "b", "c"], neutral_index=None, logit_scale=1.0, neutral=anchor
    )
    assert bank.neutral_index is None
    assert bank.neutral.tolist() == [0.0, 1.0, 0.0]
    assert bank.neutral_raw.tolist() == [0.0, 2.0, 0.0]


def test_bank_is_frozen(bank):
    with pytest.raises(dataclasses.FrozenInstanceError):
        bank.logit_scale = 1.0


def test_double_stays_double_and_half_becomes_single(raw):
    def dtype(tensor):
        bank = TextBank.from_tensors(tensor, classes=CLASSES, neutral_index=0, logit_scale=1.0)
        return {bank.raw.dtype, bank.embeddings.dtype, bank.neutral.dtype, bank.neutral_raw.dtype}

    assert dtype(raw.double()) == {torch.float64}
    assert dtype(raw.half()) == {torch.float32}


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        ({"neutral_index": None}, LabelError, "neutral anchor"),
        ({"neutral_index": 3}, LabelError, "0 to 2"),
        ({"classes": ("a", "b")}, LabelError, "do not match"),
        ({"classes": ("a", "b", "b")}, LabelError, "repeated"),
        ({"classes": ("a", "", "b")}, LabelError, "class names"),
        ({"raw": torch.ones(3)}, LabelError, "do not match"),
        ({"raw": torch.ones(3, 0)}, TextEncoderError, "zero"),
        ({"raw": torch.zeros(3, 3)}, TextEncoderError, "zero"),
        ({"raw": torch.full((3, 3), math.nan)}, TextEncoderError, "finite"),
        ({"raw": torch.full((3, 3), math.inf)}, TextEncoderError, "finite"),
        ({"neutral": torch.ones(2)}, TextEncoderError, "anchor"),
        ({"neutral": torch.zeros(3)}, TextEncoderError, "zero"),
        ({"logit_scale": 0.0}, TextEncoderError, "scale"),
        ({"logit_scale": math.nan}, TextEncoderError, "scale"),
    ],
)
def test_bad_tensors_are_refused(raw, change, error, words):
    given = {"raw": raw, "classes": CLASSES, "neutral_index": 0, "logit_scale": 1.0, **change}
    with pytest.raises(error, match=words):
        TextBank.from_tensors(given.pop("raw"), **given)


def test_embeddings_without_unit_norm_are_refused(bank):
    with pytest.raises(TextEncoderError, match="unit norm"):
        dataclasses.replace(bank, embeddings=bank.embeddings * 1.01)


def test_select_in_the_requested_order(bank):
    chosen = bank.select(["fear", "neutral"])
    assert chosen.classes == ("fear", "neutral")
    assert chosen.neutral_index == 1
    assert torch.equal(chosen.raw, bank.raw[[2, 0]])
    assert torch.equal(chosen.embeddings, bank.embeddings[[2, 0]])


def test_select_without_neutral_keeps_the_anchor(bank):
    chosen = bank.select(["fear"])
    assert chosen.neutral_index is None
    assert torch.equal(chosen.neutral, bank.neutral)


def test_select_suggests_the_nearest_class(bank):
    with pytest.raises(LabelError, match="Did you mean 'happiness'"):
        bank.select(["happines"])
    with pytest.raises(LabelError, match="repeated"):
        bank.select(["fear", "fear"])


def test_load_inverts_save(bank, tmp_path):
    bank.save(tmp_path)
    loaded = TextBank.load(tmp_path)
    for name in ("embeddings", "raw", "neutral", "neutral_raw"):
        assert torch.equal(getattr(loaded, name), getattr(bank, name))
    for name in ("classes", "neutral_index", "logit_scale", "provenance"):
        assert getattr(loaded, name) == getattr(bank, name)
    assert isinstance(loaded, TextBank)


def test_to_moves_and_converts(bank):
    wide = bank.to(dtype=torch.float64)
    assert wide.embeddings.dtype == wide.neutral_raw.dtype == torch.float64
    assert wide.to("cpu", torch.float32).raw.dtype == torch.float32


@pytest.mark.parametrize("name", ["text_bank.safetensors", "text_bank.json"])
@pytest.mark.parametrize("damage", ["remove", "truncate", "flip"])
def test_damage_is_detected(bank, tmp_path, name, damage):
    bank.save(tmp_path)
    path = tmp_path / name
    data = bytearray(path.read_bytes())

    if damage == "remove":
        path.unlink()
    elif damage == "truncate":
        path.write_bytes(data[: len(data) // 2])
    else:
        data[-9] ^= 1
        path.write_bytes(data)

    with pytest.raises(CheckpointError, match=name):
        TextBank.load(tmp_path)


def test_changed_fact_is_detected(bank, tmp_path):
    bank.save(tmp_path)
    path = tmp_path / "text_bank.json"
    facts = json.loads(path.read_text())
    facts["classes"].reverse()
    path.write_text(json.dumps(facts))
    with pytest.raises(CheckpointError, match="altered"):
        TextBank.load(tmp_path)


def test_folder_without_a_bank_is_named(tmp_path):
    with pytest.raises(CheckpointError, match="text_bank"):
        TextBank.load(tmp_path)
