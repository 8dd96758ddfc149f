"""Brief training, and a small task."""

from __future__ import annotations

import pytest
from few_shot_task import make_task

from ke2nt.fewshot import train_adapter as training


@pytest.fixture(autouse=True)
def _few_steps(monkeypatch):
    """Train briefly: what is learned is checked, not how well."""
    monkeypatch.setattr(training, "_MIN_STEPS", 8)
    monkeypatch.setattr(training, "_EPOCHS", 2)


@pytest.fixture
def task():
    return make_task()
