"""Exponential moving average of a model's weights and buffers."""

from __future__ import annotations

import copy
from typing import Generic, NamedTuple, TypeVar

import torch
from torch import Tensor, nn

from ke2nt.runtime.sharding import local_part

__all__ = ["ModelEma"]

M = TypeVar("M", bound=nn.Module)


class _Pairs(NamedTuple):
    """Tensors of the average and of the model that it follows, in the same order."""

    averaged: list[Tensor]
    current: list[Tensor]


class ModelEma(Generic[M]):
    """Average of a model's weights over steps.

    The decay grows with the number of updates n, min(decay, (1 + n) / (10 + n)), so that the first
    random weights are soon forgotten.

    Args:
        model: The model that trains; the average starts as a copy of it.
        decay: Largest decay, in (0, 1).

    Attributes:
        model: The averaged model, in evaluation mode, without gradients.
        updates: Number of updates so far.
    """

    def __init__(self, model: M, decay: float) -> None:
        self.model = copy.deepcopy(model).eval().requires_grad_(False)
        self.decay = decay
        self.updates = 0
        self._followed: M | None = None
        self._floating = _Pairs([], [])
        self._counters = _Pairs([], [])

    @torch.no_grad()
    def update(self, model: M) -> None:
        """Move the average towards the model's current state."""
        decay = min(self.decay, (1 + self.updates) / (10 + self.updates))
        self.updates += 1

        # fused over all tensors, which is much faster than one call for each
        self._follow(model)
        torch._foreach_lerp_(*self._floating, 1.0 - decay)
        if self._counters.averaged:
            torch._foreach_copy_(*self._counters)

    def _follow(self, model: M) -> None:
        """Collect the tensors of average and model.

        Once, since training changes them in place: walking through a model takes as long as
        averaging it.
        """
        if self._followed is model:
            return
        self._followed = model
        self._floating, self._counters = _Pairs([], []), _Pairs([], [])

        # counters of batch normalization are copied, not averaged
        averaged, current = self.model.state_dict().values(), model.state_dict().values()
        for average, value in zip(averaged, current, strict=True):
            pairs = self._floating if average.is_floating_point() else self._counters
            # of sharded models, this process holds the same part of both tensors
            pairs.averaged.append(local_part(average))
            pairs.current.append(local_part(value))
