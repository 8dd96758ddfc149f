"""Two images of a batch made one, labels likewise: mixup and CutMix."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from ke2nt.config.schema import AugmentConfig

__all__ = ["mix"]


def mix(
    images: Tensor, labels: Tensor, classes: int, config: AugmentConfig, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Mix every image with another one of the batch, as a configuration says.

    One method and one share λ ~ Beta(α, α) for the batch. Mixup is λ x_i + (1 − λ) x_j (Zhang et
    al. 2018); CutMix puts a rectangle of x_j, 1 − λ of the area, into x_i (Yun et al. 2019). The
    label is λ y_i + (1 − λ) y_j, with λ the share of the area that stays.

    Args:
        images: (B, C, S, S), floating.
        labels: (B,) int64 class indices, or (B, K) rows that sum to 1.
        classes: K.
        config: `mixup` and `cutmix` are the α, 0 for off; with both on, each batch takes one.
        generator: CPU generator.

    Returns:
        Images and (B, K) labels; both as they came where mixing is off.
    """
    alphas = [("mixup", config.mixup), ("cutmix", config.cutmix)]
    methods = [(name, alpha) for name, alpha in alphas if alpha]
    if not methods:
        return images, labels
    name, alpha = methods[int(torch.randint(len(methods), (), generator=generator))]
    seed = int(torch.randint(2**62, (), generator=generator))
    share = float(np.random.default_rng(seed).beta(alpha, alpha))
    other = torch.randperm(len(images), generator=generator)
    other = other.to(images.device, non_blocking=True)
    if name == "mixup":
        mixed = share * images + (1.0 - share) * images[other]
    else:
        mixed, share = _cut(images, images[other], share, generator)
    if not labels.is_floating_point():
        labels = functional.one_hot(labels, classes).to(images.dtype)
    return mixed, share * labels + (1.0 - share) * labels[other]


def _cut(
    images: Tensor, others: Tensor, share: float, generator: torch.Generator
) -> tuple[Tensor, float]:
    """Images with a rectangle of the others, and the share of the area that stayed."""
    side = images.shape[-1]
    length = side * math.sqrt(1.0 - share)
    centre = torch.rand(2, generator=generator) * side
    low = (centre - length / 2).round().clamp(0, side).int().tolist()
    high = (centre + length / 2).round().clamp(0, side).int().tolist()
    mixed = images.clone()
    place = (..., slice(low[0], high[0]), slice(low[1], high[1]))
    mixed[place] = others[place]
    return mixed, 1.0 - (high[0] - low[0]) * (high[1] - low[1]) / side**2
