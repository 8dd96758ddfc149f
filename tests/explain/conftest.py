"""Small models that look at one known place, and faces that differ there alone."""

from __future__ import annotations

import pytest
import torch
from bright_faces import CLASSES, SIZE, bright_corner
from torch import nn

from ke2nt.banks.text_bank import TextBank
from ke2nt.models.ke2nt import KE2NT
from ke2nt.models.linear import LinearClassifier


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(0)


@pytest.fixture
def bank():
    rows = torch.randn(3, 16, generator=torch.Generator().manual_seed(5))
    return TextBank.from_tensors(rows, classes=CLASSES, neutral_index=0, logit_scale=20.0)


@pytest.fixture
def crop():
    return bright_corner()


class _Bright(nn.Module):
    """Pooled brightness above the mean: a backbone that sees nothing else."""

    feature_info = ({"module": "cells", "reduction": 4},)

    def __init__(self):
        super().__init__()
        self.cells = nn.Sequential(nn.AvgPool2d(4), nn.ReLU())

    def forward(self, images):
        return self.cells(images).mean(dim=(2, 3))


@pytest.fixture
def sees_brightness():
    """A linear model whose second class is brightness itself."""
    model = LinearClassifier(CLASSES, "test_resnet", SIZE)
    model.backbone.net = _Bright()
    model.classifier = nn.Linear(3, 3, bias=False)
    weight = torch.zeros(3, 3)
    weight[1] = 5.0
    model.classifier.weight = nn.Parameter(weight)
    return model.eval()


@pytest.fixture
def deep(bank):
    return KE2NT(bank, "test_resnet", SIZE, attention={"stages": 3, "fusion": "learned"}).eval()
