from __future__ import annotations

import pytest
import torch
from small_clip_model import train_once


@pytest.fixture(scope="session")
def small_clip(tmp_path_factory):
    return train_once(tmp_path_factory)


@pytest.fixture(scope="session", autouse=True)
def _one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)
