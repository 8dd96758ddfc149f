"""What a run takes from vision-language models: size of the image tower, and text encoder."""

from __future__ import annotations

import sys
from dataclasses import replace
from typing import TypeVar

from ke2nt.config.schema import TrainConfig
from ke2nt.data.preprocessing import Preprocessing
from ke2nt.models.backbone_names import is_tower_name
from ke2nt.models.tower_backbones import find_vision_language_model, tower_preprocessing
from ke2nt.runtime.distributed import is_main
from ke2nt.vlm.auto_encoder import AUTO_ENCODER, choose_text_encoder

__all__ = ["initial_preprocessing", "resolve_image_size", "resolve_text_encoder"]

Config = TypeVar("Config", bound=TrainConfig)


def resolve_image_size(config: TrainConfig, *, quiet: bool = True) -> TrainConfig:
    """Fill `model.image_size` with the size of the image tower, if the backbone is one.

    Another size that the configuration sets stays, and a line says what is done about it.

    Raises:
        TextEncoderError: There is no such model, or its weights are not on this machine.
        ModelError: It has no image tower, or cannot have the size that is set.
    """
    backbone = config.model.backbone
    if not is_tower_name(backbone):
        return config

    # absent weights are found here, before any image is decoded
    model = find_vision_language_model(backbone)
    model.weights()
    size = tower_preprocessing(model).image_size
    if "image_size" in config.model.model_fields_set and config.model.image_size != size:
        requested = config.model.image_size
        model.check_image_size(requested)
        if not quiet and is_main():
            print(
                f"image size: {requested} px; {model.id} was trained with {size} px, so its "
                f"position embeddings are interpolated (model.image_size=null: {size} px)",
                file=sys.stderr,
            )
        return config
    changed = config.model.model_copy(update={"image_size": size})
    return config.model_copy(update={"model": changed})


def resolve_text_encoder(config: Config, *, quiet: bool = True) -> Config:
    """Replace `text.encoder: auto` by the encoder that it stands for here, and say which."""
    text = config.text
    if text.encoder != AUTO_ENCODER or text.bank is not None or config.model.head == "linear":
        return config
    encoder, reason = choose_text_encoder(config.model.backbone, fetch=text.fetch)
    if not quiet and is_main():
        print(f"text encoder: {encoder} ({reason})", file=sys.stderr)
    return config.model_copy(update={"text": text.model_copy(update={"encoder": encoder})})


def initial_preprocessing(config: TrainConfig) -> Preprocessing:
    """From pixels to the input of a model that does not start from a saved one."""
    options = config.model
    if not is_tower_name(options.backbone):
        return Preprocessing(image_size=options.image_size, gray=options.gray)
    tower = find_vision_language_model(options.backbone)
    size = options.image_size if "image_size" in options.model_fields_set else None
    return replace(tower_preprocessing(tower, size), gray=options.gray)
