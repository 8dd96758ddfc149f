"""Image towers of vision-language models as backbones: loaded, or as a model stored them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ke2nt.data.preprocessing import Preprocessing
from ke2nt.errors import ModelError
from ke2nt.vlm.base import VisionLanguageModel
from ke2nt.vlm.build_tower import build_image_tower, resize_image_tower
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
    source: str | VisionLanguageModel,
    facts: Mapping[str, Any] | None = None,
    image_size: int | None = None,
) -> tuple[ImageTower, TowerFacts]:
    """Return an image tower to train, and the facts that build it again.

    Args:
        source: A vision-language model or its name.
        facts: Of a saved model, from which the tower is built with random weights; None loads the
            weights of `source`.
        image_size: Side of the square input in pixels, for which position embeddings are
            interpolated; None for that of the tower, which a saved model must have.

    Raises:
        TextEncoderError: There is no such model, or its weights are not on this machine.
        ModelError: Its images are not square, its preprocessing does not fit, or it cannot have
            this size.
        CheckpointError: The facts are not valid.
    """
    if facts is not None:
        stored = TowerFacts.from_dict(facts)
        if image_size not in (None, stored.image_size):
            raise ModelError(
                f"the image tower of {stored.id} has another image size",
                expected=f"model.image_size={stored.image_size}, or null",
                found=image_size,
            )
        return build_image_tower(stored), stored

    model = find_vision_language_model(source) if isinstance(source, str) else source
    tower_preprocessing(model, image_size)
    tower, facts_now = model.image_tower(), model.tower_facts()
    if image_size in (None, facts_now.image_size):
        return tower, facts_now
    return resize_image_tower(tower, facts_now, image_size)


def tower_preprocessing(
    source: VisionLanguageModel | TowerFacts, image_size: int | None = None
) -> Preprocessing:
    """From pixels to the input of a tower, as its library does it; no weights are read.

    Args:
        source: The model, or what is stored of its tower.
        image_size: Side of the square input in pixels; None for that of the tower.

    Raises:
        ModelError: Its images are not square or are padded in a color, or it cannot have this size.
    """
    settings = source.preprocessing
    height, width = settings.size
    if height != width or (settings.resize_mode == "longest" and settings.fill_color):
        raise ModelError(
            f"the image tower of {source.id} has a preprocessing that ke2nt cannot train with",
            expected="square images, padded with black if at all",
            found=settings.to_dict(),
        )

    # a stored tower has its size already
    if image_size not in (None, height) and isinstance(source, VisionLanguageModel):
        source.check_image_size(image_size)
    return Preprocessing(
        image_size=height if image_size is None else image_size,
        mean=settings.mean,
        std=settings.std,
        interpolation=settings.interpolation,
        resize_mode=settings.resize_mode,
    )
