"""Trainable state of a run: model, optimizer, EMA."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Generic, TypeVar

import torch
from torch import Tensor, nn

from ke2nt.training.ema import ModelEma

__all__ = ["TrainingState"]

M = TypeVar("M", bound=nn.Module)


@dataclass(frozen=True)
class TrainingState(Generic[M]):
    """Modules that train, their average and their optimizer; what a checkpoint holds.

    Attributes:
        model: The model that trains.
        optimizer: Optimizer of `model` and `extra`. Groups may carry `lr_scale`, a factor of the
            scheduled learning rate.
        ema: Running average of the model, or None.
        extra: Further modules, such as critics or the parameters of a loss, or None.
    """

    model: M
    optimizer: torch.optim.Optimizer
    ema: ModelEma[M] | None = None
    extra: nn.Module | None = None

    @property
    def modules(self) -> dict[str, nn.Module]:
        """The modules that train, by their prefix in a checkpoint."""
        modules: dict[str, nn.Module] = {"model": self.model}
        if self.extra is not None:
            modules["extra"] = self.extra
        return modules

    @property
    def eval_model(self) -> M:
        """Model to evaluate and save: the EMA if there is one."""
        return self.model if self.ema is None else self.ema.model

    def train(self) -> None:
        """Put the modules into training mode."""
        for module in self.modules.values():
            module.train()

    def buffers(self) -> list[Tensor]:
        """Buffers of the modules, such as running statistics."""
        return [buffer for module in self.modules.values() for buffer in module.buffers()]
