"""Small float64 batches, and the bank that goes with them."""

from __future__ import annotations

import pytest
import torch

from ke2nt.banks.text_bank import TextBank
from ke2nt.models.output import KE2NTOutput

CLASSES = ("neutral", "happiness", "anger", "fear")


@pytest.fixture
def make_bank():
    def make(neutral_index: int | None = 0, classes=CLASSES, dim=6, dtype=torch.float64):
        generator = torch.Generator().manual_seed(3)
        rows = torch.randn(len(classes), dim, generator=generator, dtype=torch.float64) * 3
        anchor = torch.randn(dim, generator=generator, dtype=torch.float64)
        return TextBank.from_tensors(
            rows.to(dtype),
            classes=classes,
            neutral_index=neutral_index,
            logit_scale=10.0,
            neutral=anchor.to(dtype) if neutral_index is None else None,
        )

    return make


@pytest.fixture
def make_output():
    def make(batch=7, classes=4, dim=6, seed=0, dtype=torch.float64):
        generator = torch.Generator().manual_seed(seed)

        def leaf(width):
            values = torch.randn(batch, width, generator=generator, dtype=torch.float64)
            return values.to(dtype).requires_grad_()

        return KE2NTOutput(leaf(classes), leaf(dim), leaf(dim))

    return make
