"""A small CLIP with signal, trained once a test session by benchmarks/small_clip.py."""

from __future__ import annotations

import dataclasses
import functools
import importlib.util
import os
import sys
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

import torch
from filelock import FileLock

from ke2nt.data.sample import FaceSplit

SCRIPT = Path(__file__).resolve().parents[1] / "benchmarks" / "small_clip.py"


@functools.cache
def script() -> ModuleType:
    """benchmarks/small_clip.py as a module."""
    spec = importlib.util.spec_from_file_location("small_clip", SCRIPT)
    module = sys.modules["small_clip"] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@functools.cache
def recipe():
    """Four expressions at 32 px: less than half a minute on one core."""
    return script().Recipe(
        faces=2000,
        size=32,
        patch=8,
        width=64,
        layers=2,
        text_steps=150,
        steps=400,
        people=16,
        min_intensity=0.9,
        occlusion=0.0,
        classes=("neutral", "happiness", "surprise", "anger"),
    )


@functools.cache
def unseen_people() -> FaceSplit:
    """Faces of people the model was not trained on."""
    return recipe().split("test")


@dataclass(frozen=True)
class SmallClip:
    """Folders of the same weights for open_clip and for transformers."""

    open_clip: Path
    transformers: Path

    @property
    def split(self) -> FaceSplit:
        return unseen_people()


def train_once(tmp_path_factory) -> SmallClip:
    """Train, or take what another worker of the same session has trained."""
    home = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        home = home.parent
    found = SmallClip(home / "small-clip" / "open_clip", home / "small-clip" / "transformers")
    with FileLock(home / "small-clip.lock"):
        if not (found.transformers / "vocab.json").exists():
            with torch.random.fork_rng():
                model = script().train(recipe(), recipe().split("train"))
            script().save_open_clip(model, recipe(), found.open_clip)
            script().save_transformers(model, recipe(), found.transformers)
    return found


def with_size(size: int):
    """The same recipe for another image size, to make models that are only initialized."""
    return dataclasses.replace(recipe(), size=size)
