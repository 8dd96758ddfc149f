from __future__ import annotations

import pytest
from fake_text import FakeEncoder

from ke2nt.banks.bank_cache import BankCache
from ke2nt.banks.text_bank import TextBank
from ke2nt.runtime.cache_folder import cache_folder


@pytest.fixture
def encoder():
    return FakeEncoder()


@pytest.fixture
def cache():
    return BankCache(cache_folder(), TextBank)
