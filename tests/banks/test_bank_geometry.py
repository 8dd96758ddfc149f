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


def test_paper_returns_the_bank_unchanged():
    original = bank()
    assert arrange(original, "paper") is original


@pytest.mark.parametrize("neutral_index", [0, None])
def test_centered(neutral_index):
    original = bank(neutral_index)
    arranged = arrange(original, "centered")
    rows = original.embeddings.tolist()
    center = [math.fsum(row[d] for row in rows) / 3 for d in range(6)]

    def centered(row):
        moved = [x - c for x, c in zip(row, center, strict=True)]
        return [x / math.sqrt(math.fsum(v * v for v in moved)) for x in moved]

    torch.testing.assert_close(arranged.embeddings.tolist(), [centered(row) for row in rows])
    torch.testing.assert_close(arranged.neutral.tolist(), centered(original.neutral.tolist()))
    # the moves that L_t compares with stay as published
    torch.testing.assert_close(
        arranged.raw - arranged.neutral_raw, original.raw - original.neutral_raw
    )
    assert not torch.equal(arranged.raw, original.raw)


@pytest.mark.parametrize("neutral_index", [0, None])
def test_whitened_is_the_nearest_orthonormal_set(neutral_index):
    original = bank(neutral_index)
    arranged = arrange(original, "whitened")
    before = (
        original.embeddings
        if neutral_index == 0
        else torch.vstack([original.embeddings, original.neutral])
    )
    after = (
        arranged.embeddings
        if neutral_index == 0
        else torch.vstack([arranged.embeddings, arranged.neutral])
    )

    torch.testing.assert_close(after @ after.T, torch.eye(len(after), dtype=torch.float64))

    values, vectors = torch.linalg.eigh(before @ before.T)
    inverse_root = vectors @ torch.diag(values.rsqrt()) @ vectors.T

    torch.testing.assert_close(after, inverse_root @ before)
    torch.testing.assert_close(arranged.raw, arranged.embeddings)

    if neutral_index == 0:
        assert torch.equal(arranged.neutral, arranged.embeddings[0])


def test_saved_arranged_bank_names_no_encoder(tmp_path):
    original = TextBank.build("paper")
    arrange(original, "centered").save(tmp_path)
    facts = TextBank.load(tmp_path).provenance
    assert facts["geometry"] == "centered"
    assert facts["prompts"] == original.provenance["prompts"]
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
def test_too_similar_classes_are_refused(rows, geometry):
    original = TextBank.from_tensors(
        torch.tensor(rows), classes=list("abc")[: len(rows)], neutral_index=0, logit_scale=1.0
    )
    with pytest.raises(TextEncoderError):
        arrange(original, geometry)


def test_unknown_geometry_lists_the_known_ones():
    with pytest.raises(ConfigError, match=r"paper, centered, whitened.*'whitened'"):
        arrange(bank(), "whitend")
