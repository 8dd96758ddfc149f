"""A small task: embeddings of three classes in clusters, and a bank near their centers."""

from __future__ import annotations

import torch

from ke2nt.banks.text_bank import TextBank
from ke2nt.fewshot.features import Features
from ke2nt.fewshot.method import FewShotTask
from ke2nt.runtime.l2_normalize import l2_normalize

CLASSES = ("neutral", "happiness", "fear")
DIM = 12


def make_task(shots=4, *, seed=1, noise=0.7, classes=CLASSES, dim=DIM):
    generator = torch.Generator().manual_seed(3)
    centers = torch.randn(len(classes), dim, generator=generator)
    text = centers + 0.8 * torch.randn(len(classes), dim, generator=generator)
    bank = TextBank.from_tensors(text, classes=classes, neutral_index=0, logit_scale=30.0)

    def draw(count):
        labels = torch.arange(len(classes)).repeat(count)
        points = centers[labels] + noise * torch.randn(len(labels), dim, generator=generator)
        return Features(l2_normalize(points), labels)

    return FewShotTask(draw(shots), draw(4), bank, 30.0, shots, seed)
