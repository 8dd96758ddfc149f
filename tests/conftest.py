"""Every test runs offline, with its own cache folder, on few threads."""

from __future__ import annotations

import os

os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["TRANSFORMERS_OFFLINE"] = "1"
os.environ["HF_DATASETS_OFFLINE"] = "1"
os.environ["TOKENIZERS_PARALLELISM"] = "false"
os.environ["MPLBACKEND"] = "Agg"
os.environ["OMP_NUM_THREADS"] = "1"  # with more threads torch rounds otherwise
os.environ.pop("KE2NT_CACHE", None)

import pytest


@pytest.fixture(autouse=True)
def _own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("KE2NT_CACHE", str(tmp_path / "ke2nt-cache"))


@pytest.fixture(scope="session")
def small_clip(tmp_path_factory):
    """An image-text model of drawn faces, which is trained once; see `SmallClip`."""
    from small_clip_model import train_once

    return train_once(tmp_path_factory)


@pytest.fixture
def compile_calls(monkeypatch):
    """Replace `torch.compile` by a stub; return the list of its mode, then each batch's size."""
    import torch

    calls = []

    def compile_(model, **options):
        def forward(images):
            calls.append(len(images))
            return model(images)

        calls.append(options["mode"])
        return forward

    monkeypatch.setattr(torch, "compile", compile_)
    return calls
