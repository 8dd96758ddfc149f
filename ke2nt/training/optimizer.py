"""Optimizer, weight-decay groups, and the learning rate as a function of the step."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from ke2nt.config.schema import OptimConfig
from ke2nt.models.backbones import Backbone
from ke2nt.runtime.sharding import is_shard

__all__ = [
    "build_optimizer",
    "learning_rate",
    "parameter_groups",
    "set_learning_rate",
]


def build_optimizer(model: nn.Module, config: OptimConfig) -> torch.optim.Optimizer:
    """Build SGD or AdamW; weight matrices decay, biases and norms do not.

    Groups carry `lr_scale`, a factor of the schedule's learning rate: `layer_decay` to the power of
    the number of layers between a parameter of the backbone and its features, 1 for the head.

    Raises:
        ModelError: `layer_decay` is set, and the layers of the backbone are not known.
    """
    named = {name: p for name, p in model.named_parameters() if p.requires_grad}
    groups = parameter_groups(named, config, _layer_scales(model, config))

    # fused kernels exist for CPUs and CUDA
    fused = {p.device.type for p in named.values()} <= {"cpu", "cuda"}
    if config.name == "adamw":
        return torch.optim.AdamW(groups, lr=config.lr, betas=config.betas, fused=fused)

    # that of SGD does not take parts of parameters
    sharded = any(is_shard(p) for p in named.values())
    kernels = {"foreach": True} if sharded else {"fused": fused}
    return torch.optim.SGD(
        groups, lr=config.lr, momentum=config.momentum, nesterov=config.nesterov, **kernels
    )


def parameter_groups(
    named: Mapping[str, nn.Parameter],
    config: OptimConfig,
    scales: Mapping[str, float] | None = None,
) -> list[dict[str, Any]]:
    """Group parameters by weight decay and learning-rate scale, for an optimizer.

    Parts of parameters and whole ones are never in one group: fused kernels take one kind.

    Args:
        named: Parameters by name.
        config: Says which parameters decay.
        scales: Name → `lr_scale`, where it is not 1.
    """
    # (learning-rate scale, weight decay, whether only a part is here) → parameters
    groups: dict[tuple[float, float, bool], list[nn.Parameter]] = {}
    for name, parameter in named.items():
        scale = (scales or {}).get(name, 1.0)
        decay = config.weight_decay if config.decay_all or parameter.ndim > 1 else 0.0
        groups.setdefault((scale, decay, is_shard(parameter)), []).append(parameter)

    return [
        {"params": params, "weight_decay": decay, "lr_scale": scale}
        for (scale, decay, _), params in groups.items()
    ]


def learning_rate(step: int, steps_per_epoch: int, config: OptimConfig) -> float:
    """Return the learning rate of a step: warm-up, then a half cosine or steps down from `lr`.

    Args:
        step: Steps done so far, 0 for the first.
        steps_per_epoch: Steps in an epoch.
        config: Peak, warm-up and form of the schedule.
    """
    warmup_steps = config.warmup_epochs * steps_per_epoch
    total = config.epochs * steps_per_epoch
    if step < warmup_steps:
        share = step / warmup_steps if config.warmup == "linear" else 0.0
        return config.warmup_lr + share * (config.lr - config.warmup_lr)

    if config.schedule == "steps":
        return config.lr * config.step_factor ** (step // (config.step_epochs * steps_per_epoch))

    # share of the cosine that is done
    done = (step - warmup_steps) / max(1.0, total - warmup_steps)
    return config.min_lr + 0.5 * (config.lr - config.min_lr) * (1.0 + math.cos(math.pi * done))


def set_learning_rate(optimizer: torch.optim.Optimizer, value: float) -> None:
    """Set the learning rate of every group, times its scale."""
    for group in optimizer.param_groups:
        group["lr"] = value * group.get("lr_scale", 1.0)


def _layer_scales(model: nn.Module, config: OptimConfig) -> dict[str, float]:
    """Learning-rate scale of each backbone parameter; empty without `layer_decay`."""
    backbone = getattr(model, "backbone", None)
    if config.layer_decay is None or not isinstance(backbone, Backbone):
        return {}
    depths = backbone.layer_depths()
    return {f"backbone.{name}": config.layer_decay**depth for name, depth in depths.items()}
