"""What the image tower of a vision-language model decides in a training run."""

from __future__ import annotations

from dataclasses import replace

from ke2nt.config.schema import TrainConfig
from ke2nt.data.preprocessing import Preprocessing
from ke2nt.errors import ConfigError
from ke2nt.models.backbone_names import is_tower_name
from ke2nt.models.tower_backbones import find_vision_language_model, tower_preprocessing

__all__ = ["initial_preprocessing", "resolve_image_size"]


def resolve_image_size(config: TrainConfig) -> TrainConfig:
    """Fill `model.image_size` with the size of the image tower, if the backbone is one.

    Raises:
        TextEncoderError: There is no such model, or its weights are not on this machine.
        ModelError: It has no image tower.
        ConfigError: The configuration sets another size.
    """
    backbone = config.model.backbone
    if not is_tower_name(backbone):
        return config

    # absent weights are found here, before any image is decoded
    model = find_vision_language_model(backbone)
    model.fingerprint()
    size = tower_preprocessing(model).image_size
    if "image_size" in config.model.model_fields_set and config.model.image_size != size:
        raise ConfigError(
            f"model.image_size differs from that of the image tower {backbone}",
            expected=size,
            found=config.model.image_size,
            hint="Leave model.image_size out.",
        )
    changed = config.model.model_copy(update={"image_size": size})
    return config.model_copy(update={"model": changed})


def initial_preprocessing(config: TrainConfig) -> Preprocessing:
    """From pixels to the input of a model that does not start from a saved one."""
    options = config.model
    if not is_tower_name(options.backbone):
        return Preprocessing(image_size=options.image_size, gray=options.gray)
    tower = tower_preprocessing(find_vision_language_model(options.backbone))
    return replace(tower, gray=options.gray)
