"""Saved models of one architecture, and faces to choose on."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image

from ke2nt.banks.text_bank import TextBank
from ke2nt.models.ke2nt import KE2NT

CLASSES = ("anger", "happiness", "neutral")


@pytest.fixture(scope="session")
def make_model(tmp_path_factory):
    """Save a model whose weights follow a seed."""
    root = tmp_path_factory.mktemp("ingredients")

    def make(seed, *, name=None, classes=CLASSES, bank_seed=1, data=None, **options):
        rows = torch.randn(3, 16, generator=torch.Generator().manual_seed(bank_seed))
        bank = TextBank.from_tensors(rows, classes=classes, neutral_index=2, logit_scale=20.0)
        torch.manual_seed(seed)
        model = KE2NT(bank, "test_resnet", 24, **options)

        # so that statistics differ, too
        model.train()(torch.rand(8, 3, 24, 24))
        if data is not None:
            model.card = {"data": {"name": data, "options": {}, "samples": {}}, "seed": seed}
        folder = root / (name or f"seed{seed}")
        if not folder.exists():
            model.save_pretrained(folder)
        return folder

    return make


@pytest.fixture(scope="session")
def faces(tmp_path_factory):
    """Ten faces of each class in each of two splits."""
    root = tmp_path_factory.mktemp("faces")
    rng = np.random.default_rng(0)
    for split in ("train", "val", "test"):
        for label, name in enumerate(CLASSES):
            (root / split / name).mkdir(parents=True)
            for i in range(10):
                pixels = rng.integers(0, 120, (24, 24, 3), "u1")
                pixels[8 * label : 8 * label + 8] += 100
                Image.fromarray(pixels).save(root / split / name / f"{i}.png")
    return root
