"""Optimizer, weight-decay groups; learning rate and logit scale as functions of the step."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from ke2nt.config.schema import OptimConfig, TextConfig
from ke2nt.models.backbones import Backbone

__all__ = [
    "learning_rate",
    "make_optimizer",
    "parameter_groups",
    "scale_factor",
    "set_learning_rate",
]


def make_optimizer(model: nn.Module, config: OptimConfig) -> torch.optim.Optimizer:
    """SGD or AdamW; weight matrices with decay, biases and norms without.

    Groups carry `lr_scale`, the factor of the schedule's learning rate: `layer_decay` to the power
    of how many layers stand between a parameter of the backbone and its features, 1 for the head.

    Raises:
        ModelError: Layers are to differ, and the backbone's are not known.
    """
    named = {name: p for name, p in model.named_parameters() if p.requires_grad}
    depths: dict[str, int] = {}
    if config.layer_decay is not None and isinstance(backbone := model.backbone, Backbone):
        depths = {f"backbone.{name}": depth for name, depth in backbone.layer_depths().items()}
    scales = {name: (config.layer_decay or 1.0) ** depth for name, depth in depths.items()}
    settings = parameter_groups(named, config, scales)
    fused = {p.device.type for p in named.values()} <= {"cpu", "cuda"}
    if config.name == "adamw":
        return torch.optim.AdamW(settings, lr=config.lr, betas=config.betas, fused=fused)
    return torch.optim.SGD(
        settings, lr=config.lr, momentum=config.momentum, nesterov=config.nesterov, fused=fused
    )


def parameter_groups(
    named: Mapping[str, nn.Parameter],
    config: OptimConfig,
    scales: Mapping[str, float] | None = None,
) -> list[dict[str, Any]]:
    """Groups of parameters with decay and without, for an optimizer.

    Args:
        named: Parameters by their names.
        config: Says which have decay.
        scales: Name → `lr_scale`, where it is not 1.
    """
    groups: dict[tuple[float, float], list[nn.Parameter]] = {}
    for name, parameter in named.items():
        scale = (scales or {}).get(name, 1.0)
        decay = config.weight_decay if config.decay_all or parameter.ndim > 1 else 0.0
        groups.setdefault((scale, decay), []).append(parameter)
    return [
        {"params": params, "weight_decay": decay, "lr_scale": scale}
        for (scale, decay), params in groups.items()
    ]


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


def scale_factor(step: int, steps_per_epoch: int, config: TextConfig, scale: float) -> float:
    """What the logits of one step are multiplied by, so that their scale climbs to its value.

    s(p) = s_0^(1 − p) · s^p for the share p of `logit_scale_epochs` that is done, over s.

    Args:
        step: Steps done so far, 0 for the first.
        steps_per_epoch: Steps in an epoch.
        config: s_0 and the epochs; without s_0 the factor is 1.
        scale: s, the scale of the untrained model.
    """
    if config.logit_scale_start is None:
        return 1.0
    left = 1.0 - min(1.0, step / (config.logit_scale_epochs * steps_per_epoch))
    return (config.logit_scale_start / scale) ** left


def set_learning_rate(optimizer: torch.optim.Optimizer, value: float) -> None:
    """Set the learning rate of every group, times its scale."""
    for group in optimizer.param_groups:
        group["lr"] = value * group.get("lr_scale", 1.0)
