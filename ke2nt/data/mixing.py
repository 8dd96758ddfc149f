"""Mixup and CutMix: each image of a batch mixed with another one, labels likewise."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from ke2nt.config.schema import AugmentConfig

__all__ = ["Mixing", "draw_mixing", "mix"]


class Mixing(NamedTuple):
    """How the images of a batch are mixed.

    Attributes:
        partner: int64 (B,), the image that each one is mixed with.
        share: float32 (S, S), share of each pixel that remains: λ everywhere for mixup; for CutMix
            0 in the rectangle and 1 elsewhere.
    """

    partner: Tensor
    share: Tensor


def draw_mixing(
    count: int, side: int, config: AugmentConfig, generator: torch.Generator
) -> Mixing | None:
    """Draw one method and one λ ~ Beta(α, α) for a batch.

    Args:
        count: Images of the batch.
        side: S, pixels.
        config: `mixup` and `cutmix` are the α, 0 for off; with both on, each batch takes one.
        generator: CPU generator.

    Returns:
        None where mixing is off.
    """
    alphas = [("mixup", config.mixup), ("cutmix", config.cutmix)]
    methods = [(name, alpha) for name, alpha in alphas if alpha]
    if not methods:
        return None
    name, alpha = methods[int(torch.randint(len(methods), (), generator=generator))]

    # PyTorch has no Beta distribution that takes a generator
    seed = int(torch.randint(2**62, (), generator=generator))
    lam = float(np.random.default_rng(seed).beta(alpha, alpha))

    partner = torch.randperm(count, generator=generator)
    # (S, S) remaining share of each pixel
    share = torch.full((side, side), lam)
    if name == "cutmix":
        share.fill_(1.0)
        length = side * math.sqrt(1.0 - lam)
        center = torch.rand(2, generator=generator) * side
        low = (center - length / 2).round().clamp(0, side).int().tolist()
        high = (center + length / 2).round().clamp(0, side).int().tolist()
        share[low[0] : high[0], low[1] : high[1]] = 0.0
    return Mixing(partner, share)


def mix(images: Tensor, labels: Tensor, classes: int, mixing: Mixing) -> tuple[Tensor, Tensor]:
    """Mix every image with another one of the batch.

    Mixup is λ x_i + (1 − λ) x_j (Zhang et al. 2018); CutMix puts a rectangle of x_j, 1 − λ of the
    area, into x_i (Yun et al. 2019). The label is λ y_i + (1 − λ) y_j, with λ the mean of `share`,
    for CutMix the remaining share of the area.

    Args:
        images: (B, C, S, S), floating.
        labels: (B,) int64 class indices, or (B, K) rows that sum to 1.
        classes: K.
        mixing: Drawn for these B images, on their device.

    Returns:
        Images and (B, K) labels.
    """
    # for mixup λ itself, for CutMix the remaining share of the area
    lam = mixing.share.mean()
    mixed = torch.lerp(images[mixing.partner], images, mixing.share.to(images.dtype))
    if not labels.is_floating_point():
        labels = functional.one_hot(labels, classes).to(images.dtype)
    return mixed, torch.lerp(labels[mixing.partner], labels, lam.to(labels.dtype))
