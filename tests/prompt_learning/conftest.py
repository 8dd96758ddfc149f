from __future__ import annotations

import pytest
import torch
from tiny_text_towers import open_clip_folder

from ke2nt.vlm.catalog import get_text_encoder


@pytest.fixture(scope="session")
def spec(tmp_path_factory):
    """Name of a tiny CLIP."""
    return open_clip_folder(tmp_path_factory.mktemp("towers"), "clip")


@pytest.fixture(scope="session")
def encoder(spec):
    return get_text_encoder(spec)


@pytest.fixture(scope="session")
def tower(encoder):
    return encoder.prompt_learning_tower()


@pytest.fixture(scope="session")
def faces():
    """Image embeddings of three classes with some overlap: 60 to learn from and 30 to choose by."""
    from ke2nt.prompt_learning.learn import LabeledEmbeddings

    generator = torch.Generator().manual_seed(5)
    centers = torch.randn(3, 12, generator=generator)

    def draw(count):
        labels = torch.arange(count) % 3
        noise = torch.randn(count, 12, generator=generator)
        rows = torch.nn.functional.normalize(centers[labels] + 0.7 * noise, dim=-1)
        return LabeledEmbeddings(rows, labels)

    return draw(60), draw(30)
