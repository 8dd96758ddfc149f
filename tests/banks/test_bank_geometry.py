"""Arranged banks against the definitions, computed the slow way."""

from __future__ import annotations

import math

import pytest
import torch

from ke2nt.banks.geometry import arrange
from ke2nt.banks.text_bank import TextBank
from ke2nt.errors import ConfigError, TextEncoderError


def bank(neutral_index=0, classes=("neutral", "anger", "fear"), dim=6):
    generator = torch.Generator().manual_seed(1)
    common = torch.randn(dim, generator=generator, dtype=torch.float64) * 3
    rows = common + torch.randn(len(classes), dim, generator=generator, dtype=torch.float64)
    anchor = common + torch.randn(dim, generator=generator, dtype=torch.float64)
    return TextBank.from_tensors(
        rows,
        classes=classes,
        neutral_index=neutral_index,
        logit_scale=10.0,
        neutral=None if neutral_index is not None else anchor,
    )


def test_paper_is_the_bank_itself():
    own = bank()
    assert arrange(own, "paper") is own


@pytest.mark.parametrize("neutral_index", [0, None])
def test_centered(neutral_index):
    own = bank(neutral_index)
    found = arrange(own, "centered")
    rows = own.embeddings.tolist()
    center = [math.fsum(row[d] for row in rows) / 3 for d in range(6)]

    def centered(row):
        moved = [x - c for x, c in zip(row, center, strict=True)]
        return [x / math.sqrt(math.fsum(v * v for v in moved)) for x in moved]

    torch.testing.assert_close(found.embeddings.tolist(), [centered(row) for row in rows])
    torch.testing.assert_close(found.neutral.tolist(), centered(own.neutral.tolist()))
    # the moves that L_t compares with stay as published
    torch.testing.assert_close(found.raw - found.neutral_raw, own.raw - own.neutral_raw)
    assert not torch.equal(found.raw, own.raw)


@pytest.mark.parametrize("neutral_index", [0, None])
def test_whitened_is_the_nearest_orthonormal_set(neutral_index):
    own = bank(neutral_index)
    found = arrange(own, "whitened")
    before = own.embeddings if neutral_index == 0 else torch.vstack([own.embeddings, own.neutral])
    after = (
        found.embeddings if neutral_index == 0 else torch.vstack([found.embeddings, found.neutral])
    )
    torch.testing.assert_close(after @ after.T, torch.eye(len(after), dtype=torch.float64))
    values, vectors = torch.linalg.eigh(before @ before.T)
    inverse_root = vectors @ torch.diag(values.rsqrt()) @ vectors.T
    torch.testing.assert_close(after, inverse_root @ before)
    torch.testing.assert_close(found.raw, found.embeddings)
    if neutral_index == 0:
        assert torch.equal(found.neutral, found.embeddings[0])


def test_an_arranged_bank_is_saved_and_does_not_name_an_encoder(tmp_path):
    own = TextBank.build("paper")
    arrange(own, "centered").save(tmp_path)
    facts = TextBank.load(tmp_path).provenance
    assert facts["geometry"] == "centered"
    assert facts["prompts"] == own.provenance["prompts"]
    assert "encoder" not in facts
    assert facts["of"]["encoder"] == "minilm"


@pytest.mark.parametrize(
    ("rows", "geometry"),
    [
        ([[1.0, 0.0], [1.0, 0.0]], "centered"),
        ([[1.0, 0.0], [1.0, 0.0]], "whitened"),
        ([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]], "whitened"),
    ],
)
def test_classes_that_do_not_differ_enough_are_refused(rows, geometry):
    own = TextBank.from_tensors(
        torch.tensor(rows), classes=list("abc")[: len(rows)], neutral_index=0, logit_scale=1.0
    )
    with pytest.raises(TextEncoderError):
        arrange(own, geometry)


def test_an_unknown_geometry_names_the_known_ones():
    with pytest.raises(ConfigError, match=r"paper, centered, whitened.*'whitened'"):
        arrange(bank(), "whitend")
