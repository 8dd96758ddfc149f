"""Optimiser, weight-decay groups, and the learning rate as a function of the step."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import nn

from ke2nt.config.schema import OptimConfig

__all__ = ["learning_rate", "make_optimizer", "set_learning_rate"]


def make_optimizer(model: nn.Module, config: OptimConfig) -> torch.optim.Optimizer:
    """SGD or AdamW over two groups: weight matrices with decay, biases and norms without."""
    parameters = [p for p in model.parameters() if p.requires_grad]
    matrices = [p for p in parameters if config.decay_all or p.ndim > 1]
    rest = [p for p in parameters if not (config.decay_all or p.ndim > 1)]
    groups: list[dict[str, Any]] = [
        {"params": matrices, "weight_decay": config.weight_decay},
        {"params": rest, "weight_decay": 0.0},
    ]
    groups = [group for group in groups if group["params"]]
    fused = {p.device.type for p in parameters} <= {"cpu", "cuda"}
    if config.name == "adamw":
        return torch.optim.AdamW(groups, lr=config.lr, betas=config.betas, fused=fused)
    return torch.optim.SGD(
        groups, lr=config.lr, momentum=config.momentum, nesterov=config.nesterov, fused=fused
    )


def learning_rate(step: int, steps_per_epoch: int, config: OptimConfig) -> float:
    """Learning rate of one step: warm-up, then a half cosine from `lr` to `min_lr`.

    Args:
        step: Steps done so far, 0 for the first.
        steps_per_epoch: Steps in an epoch.
        config: Peak, warm-up and end of the schedule.
    """
    warm = config.warmup_epochs * steps_per_epoch
    total = config.epochs * steps_per_epoch
    if step < warm:
        share = step / warm if config.warmup == "linear" else 0.0
        return config.warmup_lr + share * (config.lr - config.warmup_lr)
    done = (step - warm) / max(1.0, total - warm)
    return config.min_lr + 0.5 * (config.lr - config.min_lr) * (1.0 + math.cos(math.pi * done))


def set_learning_rate(optimizer: torch.optim.Optimizer, value: float) -> None:
    """Set the learning rate of every group."""
    for group in optimizer.param_groups:
        group["lr"] = value
