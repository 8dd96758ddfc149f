"""One Adam optimizer for generator and critics."""

from __future__ import annotations

from typing import Any

from ke2nt.generation.gan_objective import GanObjective

__all__ = ["gan_parameter_groups"]


def gan_parameter_groups(
    objective: GanObjective, lr: float, critic_lr: float, betas: tuple[float, float]
) -> list[dict[str, Any]]:
    """Return the parameter groups of generator and critics; `lr_scale` is their learning rate.

    A step leaves parameters without a gradient unchanged, so one optimizer serves both sides.
    """
    return [
        {
            "params": list(module.parameters()),
            "lr": rate,
            "lr_scale": rate,
            "betas": betas,
            "weight_decay": 0.0,
        }
        for module, rate in ((objective.generator, lr), (objective.critics, critic_lr))
    ]
