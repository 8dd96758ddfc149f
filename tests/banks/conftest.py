from __future__ import annotations

import pytest
import torch
from fake_text import FakeEncoder

from ke2nt.banks.bank_cache import BankCache
from ke2nt.banks.text_bank import TextBank
from ke2nt.runtime.cache_folder import cache_folder


@pytest.fixture(scope="session", autouse=True)
def _one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture
def encoder():
    return FakeEncoder()


@pytest.fixture
def cache():
    return BankCache(cache_folder(), TextBank)
