"""Image towers of vision-language models as backbones: loaded, or as a model stored them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ke2nt.data.preprocessing import Preprocessing
from ke2nt.errors import ModelError
from ke2nt.vlm.base import VisionLanguageModel
from ke2nt.vlm.build_tower import build_image_tower
from ke2nt.vlm.catalog import get_text_encoder
from ke2nt.vlm.image_tower import ImageTower, TowerFacts

__all__ = ["find_vision_language_model", "load_tower", "tower_preprocessing"]


def find_vision_language_model(name: str) -> VisionLanguageModel:
    """Return the model of a name such as "open_clip:ViT-B-16/openai". Nothing is loaded yet.

    Raises:
        TextEncoderError: There is no such model.
        ModelError: It has no image tower.
    """
    model = get_text_encoder(name)
    if not isinstance(model, VisionLanguageModel):
        raise ModelError(
            f"{name} has no image tower",
            expected="open_clip:ARCH/TAG-or-path or transformers:ID-or-folder",
        )
    return model


def load_tower(
    source: str | VisionLanguageModel, facts: Mapping[str, Any] | None = None
) -> tuple[ImageTower, TowerFacts]:
    """Return an image tower to train, and the facts that build it again.

    Args:
        source: A vision-language model or its name.
        facts: Of a saved model, from which the tower is built with random weights; None loads the
            weights of `source`.

    Raises:
        TextEncoderError: There is no such model, or its weights are not on this machine.
        ModelError: Its images are not square, or its preprocessing does not fit.
        CheckpointError: The facts are not valid.
    """
    if facts is not None:
        stored = TowerFacts.from_dict(facts)
        return build_image_tower(stored), stored

    model = find_vision_language_model(source) if isinstance(source, str) else source
    tower_preprocessing(model)
    return model.image_tower(), model.tower_facts()


def tower_preprocessing(source: VisionLanguageModel | TowerFacts) -> Preprocessing:
    """From pixels to the input of a tower, as its library does it; no weights are read.

    Raises:
        ModelError: Its images are not square, or are padded in a color.
    """
    settings = source.preprocessing
    height, width = settings.size
    if height != width or (settings.resize_mode == "longest" and settings.fill_color):
        raise ModelError(
            f"the image tower of {source.id} has a preprocessing that ke2nt cannot train with",
            expected="square images, padded with black if at all",
            found=settings.to_dict(),
        )
    return Preprocessing(
        image_size=height,
        mean=settings.mean,
        std=settings.std,
        interpolation=settings.interpolation,
        resize_mode=settings.resize_mode,
    )
