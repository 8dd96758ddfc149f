"""A small model of each head, and faces in memory."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from warmed_models import CLASSES, SIZE, warmed

from ke2nt.banks.text_bank import TextBank
from ke2nt.data.preprocessing import Preprocessing
from ke2nt.data.sample import FaceSample, FaceSplit
from ke2nt.data.tensors import FaceTensors
from ke2nt.models.calibration import Calibration
from ke2nt.models.familiarity import Familiarity
from ke2nt.models.ke2nt import KE2NT
from ke2nt.models.linear import LinearClassifier


@pytest.fixture(scope="session")
def text_model():
    torch.manual_seed(0)
    rows = torch.randn(3, 16, generator=torch.Generator().manual_seed(1))
    bank = TextBank.from_tensors(rows, classes=CLASSES, neutral_index=0, logit_scale=20.0)
    preprocessing = Preprocessing(SIZE, gray=True)
    model = KE2NT(bank, "test_resnet", SIZE, preprocessing=preprocessing)
    model.calibration = Calibration(temperature=1.7, offsets=(-0.5, 0.2, 0.9))
    model.familiarity = Familiarity(
        *(torch.randn(shape) for shape in ((16,), (), (16,), (16, 4))),
        min_face=-1.0,
        max_distance=2.0,
    )
    return warmed(model)


@pytest.fixture(scope="session")
def linear_model():
    torch.manual_seed(0)
    model = LinearClassifier(CLASSES, "test_resnet", SIZE)
    model.calibration = Calibration("vector", weight=(1.0, 2.0, 0.5), bias=(0.1, -0.2, 0.3))
    return warmed(model)


@pytest.fixture(scope="session")
def faces():
    rng = np.random.default_rng(0)
    samples = tuple(
        FaceSample(name=str(i), source=rng.integers(0, 256, (SIZE, SIZE, 3), "u1"), label=i % 3)
        for i in range(40)
    )
    return FaceTensors(FaceSplit("made up", "val", CLASSES, samples), SIZE)
