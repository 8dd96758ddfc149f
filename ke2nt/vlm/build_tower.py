"""Build an image tower from stored data, without the files that its weights came from."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import torch

from ke2nt.errors import CheckpointError, ModelError
from ke2nt.runtime.formatting import first_line
from ke2nt.vlm.image_tower import ImageTower, TowerFacts

__all__ = ["build_image_tower", "resize_image_tower"]


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
            found=f"{type(error).__name__}: {first_line(error)}",
        ) from error


def resize_image_tower(
    tower: ImageTower, facts: TowerFacts, size: int
) -> tuple[ImageTower, TowerFacts]:
    """Return a tower for another image size; its library interpolates position embeddings.

    Args:
        tower: With its weights; may be changed.
        facts: What it was built from.
        size: Side of the square input in pixels.

    Raises:
        ModelError: The library cannot give this tower another size.
    """
    resize: Callable[..., tuple[ImageTower, dict[str, Any]]]
    if facts.library == "open_clip":
        from ke2nt.vlm.open_clip_tower import resize_open_clip as resize
    else:
        from ke2nt.vlm.transformers_tower import resize_transformers as resize

    try:
        with torch.random.fork_rng(devices=[]):
            resized, config = resize(tower, facts.config, size)
    except Exception as error:  # whatever a library raises on a size that it cannot use
        raise ModelError(
            f"the image tower of {facts.id} cannot be given another image size",
            expected=f"model.image_size={facts.image_size}, its own",
            found=f"{size}: {first_line(error)}",
            hint="model.image_size=null takes that of the tower.",
        ) from error
    pixels = replace(facts.preprocessing, size=(size, size))
    return resized, replace(facts, config=config, preprocessing=pixels)
