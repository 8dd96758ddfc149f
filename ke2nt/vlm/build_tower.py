"""Build an image tower from stored data, without the files that its weights came from."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch

from ke2nt.errors import CheckpointError
from ke2nt.vlm.image_tower import ImageTower, TowerFacts

__all__ = ["build_image_tower"]


def build_image_tower(facts: TowerFacts) -> ImageTower:
    """Build the tower that `TowerFacts` describe, with random weights.

    Raises:
        CheckpointError: The library is not known, or cannot build a tower of this configuration.
    """
    # each library is imported only for its towers
    build: Callable[[Mapping[str, Any]], ImageTower]
    if facts.library == "open_clip":
        from ke2nt.vlm.open_clip_tower import build_open_clip_tower

        build = build_open_clip_tower
    elif facts.library == "transformers":
        from ke2nt.vlm.transformers_tower import build_transformers_tower

        build = build_transformers_tower
    else:
        raise CheckpointError(
            "the stored image tower is not valid",
            expected="a tower of open_clip or transformers",
            found=repr(facts.library),
        )

    # the caller's random numbers must not depend on weights that are replaced
    try:
        with torch.random.fork_rng(devices=[]):
            return build(facts.config)
    except CheckpointError:
        raise
    except Exception as error:  # whatever a library raises on a configuration that it cannot use
        raise CheckpointError(
            f"the image tower of {facts.id} cannot be built",
            found=f"{type(error).__name__}: {error}".splitlines()[0],
        ) from error
