"""Two images of a batch made one, labels likewise: mixup and CutMix."""

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
        other: int64 (B,), the image that each one is mixed with.
        stays: float32 (S, S), share of each pixel that stays: λ everywhere for mixup; for CutMix 0
            in the rectangle and 1 elsewhere.
    """

    other: Tensor
    stays: Tensor


def draw_mixing(
    count: int, side: int, config: AugmentConfig, generator: torch.Generator
) -> Mixing | None:
    """One method and one share λ ~ Beta(α, α) for a batch; None where mixing is off.

    Args:
        count: Images of the batch.
        side: S, pixels.
        config: `mixup` and `cutmix` are the α, 0 for off; with both on, each batch takes one.
        generator: CPU generator.
    """
    alphas = [("mixup", config.mixup), ("cutmix", config.cutmix)]
    methods = [(name, alpha) for name, alpha in alphas if alpha]
    if not methods:
        return None
    name, alpha = methods[int(torch.randint(len(methods), (), generator=generator))]
    seed = int(torch.randint(2**62, (), generator=generator))
    share = float(np.random.default_rng(seed).beta(alpha, alpha))
    other = torch.randperm(count, generator=generator)
    stays = torch.full((side, side), share)
    if name == "cutmix":
        stays.fill_(1.0)
        length = side * math.sqrt(1.0 - share)
        center = torch.rand(2, generator=generator) * side
        low = (center - length / 2).round().clamp(0, side).int().tolist()
        high = (center + length / 2).round().clamp(0, side).int().tolist()
        stays[low[0] : high[0], low[1] : high[1]] = 0.0
    return Mixing(other, stays)


def mix(images: Tensor, labels: Tensor, classes: int, mixing: Mixing) -> tuple[Tensor, Tensor]:
    """Mix every image with another one of the batch.

    Mixup is λ x_i + (1 − λ) x_j (Zhang et al. 2018); CutMix puts a rectangle of x_j, 1 − λ of the
    area, into x_i (Yun et al. 2019). The label is λ y_i + (1 − λ) y_j, with λ the mean of `stays`,
    for CutMix the share of the area that stays.

    Args:
        images: (B, C, S, S), floating.
        labels: (B,) int64 class indices, or (B, K) rows that sum to 1.
        classes: K.
        mixing: Drawn for these B images, on their device.

    Returns:
        Images and (B, K) labels.
    """
    share = mixing.stays.mean()
    mixed = torch.lerp(images[mixing.other], images, mixing.stays.to(images.dtype))
    if not labels.is_floating_point():
        labels = functional.one_hot(labels, classes).to(images.dtype)
    return mixed, torch.lerp(labels[mixing.other], labels, share.to(labels.dtype))
