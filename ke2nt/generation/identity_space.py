"""The frozen space in which an edit stays close to its source, by its name in a configuration."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable

import torch
from torch import Tensor

from ke2nt.config.gan import FesganConfig, GanConfig
from ke2nt.errors import Ke2ntWarning
from ke2nt.generation.networks.face_space import FaceSpace
from ke2nt.generation.networks.identity_features import FrozenFeatures
from ke2nt.models.face_weights import dlib_package_file
from ke2nt.models.load import load_model

__all__ = ["FALLBACK", "choose_identity_space", "load_identity_space"]

FALLBACK = "ke2nt/ferplus-resnet18"
"""What `auto` stands for where the extra `faces` is not installed."""


def choose_identity_space(config: FesganConfig, *, quiet: bool = False) -> FesganConfig:
    """Replace `gan.identity_space=auto` by the space that this installation has.

    Every run stores the result, so that it uses the same space when it is resumed elsewhere.

    Args:
        config: The run's configuration.
        quiet: Do not name the space on stderr.
    """
    gan = config.gan
    if gan.identity_space == "auto":
        space = FALLBACK if dlib_package_file() is None else "faces"
        gan = gan.model_copy(update={"identity_space": space})
        config = config.model_copy(update={"gan": gan})

    # nothing is compared with a weight of 0
    if gan.loss.identity and not quiet:
        print(f"identity space: {_describe(gan)}", file=sys.stderr)
    return config


def load_identity_space(
    config: GanConfig, device: torch.device
) -> Callable[[Tensor], Tensor] | None:
    """Load the frozen identity space; None stands for the generator's latent codes.

    Args:
        config: With an identity space that has been chosen.
        device: Where the images are.
    """
    if config.identity_space == "code" or not config.loss.identity:
        return None

    if config.identity_space == "faces":
        # convolutions are faster in this format
        return FaceSpace().to(device).to(memory_format=torch.channels_last)

    # its features are frozen, so they need no labels of this run; its successor has no such stages
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", Ke2ntWarning)
        recognizer = load_model(config.identity_space)
    return FrozenFeatures(recognizer, config.identity_stage).to(device)


def _describe(gan: GanConfig) -> str:
    known = {"faces": "faces (dlib's face descriptors)", "code": "code (the generator's codes)"}
    default = f"stage {gan.identity_stage} of {gan.identity_space}"
    return known.get(gan.identity_space, default)
