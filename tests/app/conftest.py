"""A small model that is not trained, whose words can be edited."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from ke2nt.banks.text_bank import TextBank
from ke2nt.models.ke2nt import KE2NT
from ke2nt.models.linear import LinearClassifier


@pytest.fixture
def model():
    torch.manual_seed(0)
    return KE2NT(TextBank.build("simple"), "mobilenetv3_small_050", 32).eval()


@pytest.fixture
def linear():
    torch.manual_seed(0)
    return LinearClassifier(("calm", "joy", "rage"), "mobilenetv3_small_050", 32).eval()


@pytest.fixture
def crop():
    return np.random.default_rng(3).integers(0, 256, (40, 30, 3), dtype=np.uint8)
