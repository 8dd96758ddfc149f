from __future__ import annotations

import pytest
from lab_oracles import WordEncoder


@pytest.fixture
def encoder():
    return WordEncoder()
