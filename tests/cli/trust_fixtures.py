"""Helpers: a small saved model, folders of faces, and the command line in this process."""

from __future__ import annotations

import sys

import numpy as np
import pytest
import torch
from PIL import Image

from ke2nt.banks.text_bank import TextBank
from ke2nt.cli import main as cli
from ke2nt.models.ke2nt import KE2NT

CLASSES = ("anger", "happiness", "neutral")


def save_model(folder):
    torch.manual_seed(0)
    rows = torch.randn(3, 16, generator=torch.Generator().manual_seed(1))
    bank = TextBank.from_tensors(rows, classes=CLASSES, neutral_index=2, logit_scale=20.0)
    KE2NT(bank, "test_resnet", 24).save_pretrained(folder)
    return folder


def draw_faces(root, *, per_class=8):
    rng = np.random.default_rng(0)
    for split in ("train", "val"):
        for name in CLASSES:
            (root / split / name).mkdir(parents=True)
            for i in range(per_class):
                pixels = rng.integers(0, 256, (24, 24, 3), "u1")
                Image.fromarray(pixels).save(root / split / name / f"{i}.png")
    return root


def run_here(monkeypatch, capfd, *arguments):
    """Run the command line in this process, as the installed command does."""
    monkeypatch.setattr(sys, "argv", ["ke2nt", *map(str, arguments)])
    with pytest.raises(SystemExit) as stop:
        cli.main()
    return stop.value.code, *capfd.readouterr()
