"""The networks of a GAN configuration."""

from __future__ import annotations

from collections.abc import Sequence

from ke2nt.config.gan import FesganConfig, GanConfig
from ke2nt.generation.losses.adversaries import ADVERSARIES
from ke2nt.generation.networks.critics import (
    CodeCritic,
    Critics,
    ExpressionClassifier,
    ImageCritic,
)
from ke2nt.generation.networks.generator import FaceGenerator

__all__ = ["build_critics", "build_generator"]


def build_generator(config: FesganConfig, classes: Sequence[str]) -> FaceGenerator:
    """Build an untrained generator."""
    network = config.gan.network
    return FaceGenerator(
        classes,
        config.gan_size,
        config.channels,
        width=network.width,
        code_dim=network.code_dim,
        conditioning=network.conditioning,
    )


def build_critics(config: GanConfig, generator: FaceGenerator) -> Critics:
    """Build untrained critics for the images of a generator."""
    # only the hinge loss normalizes the weights of the critic
    network, num_classes = config.network, len(generator.classes)
    adversary = ADVERSARIES[config.loss.adversary](config.loss.penalty)
    sizes = (generator.channels, generator.image_size, network.critic_width, num_classes)
    return Critics(
        ImageCritic(*sizes, spectral_norm=adversary.spectral_norm),
        CodeCritic(generator.code_dim, num_classes),
        ExpressionClassifier(*sizes) if network.expression == "own" else None,
    )
