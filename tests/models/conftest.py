"""Small models: a bank of four classes, a tiny convolutional backbone, normalized noise."""

from __future__ import annotations

import pytest
import torch

from ke2nt.banks.text_bank import TextBank
from ke2nt.models.ke2nt import KE2NT
from ke2nt.models.linear import LinearClassifier

CLASSES = ("neutral", "happiness", "anger", "fear")


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(0)


@pytest.fixture
def bank():
    return make_bank()


def make_bank(dim=24, classes=CLASSES, scale=50.0, seed=5):
    rows = torch.randn(len(classes), dim, generator=torch.Generator().manual_seed(seed)) * 4
    return TextBank.from_tensors(rows, classes=classes, neutral_index=0, logit_scale=scale)


@pytest.fixture
def new_bank():
    return make_bank


@pytest.fixture
def model(bank):
    return KE2NT(bank, "mobilenetv3_small_050", 32)


@pytest.fixture
def linear():
    return LinearClassifier(CLASSES, "mobilenetv3_small_050", 32)


@pytest.fixture
def images():
    return torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(1))
