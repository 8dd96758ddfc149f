"""Exponential moving average of a model's weights and buffers."""

from __future__ import annotations

import copy
from typing import Generic, TypeVar

import torch
from torch import nn

__all__ = ["ModelEma"]

M = TypeVar("M", bound=nn.Module)


class ModelEma(Generic[M]):
    """Average of a model's weights over steps.

    The decay climbs with the number of updates, min(decay, (1 + n) / (10 + n)), so that the first
    random weights are soon forgotten.

    Args:
        model: The model that trains; the average starts as a copy of it.
        decay: Largest decay, in (0, 1).

    Attributes:
        model: The averaged model, in eval mode, without gradients.
        updates: Number of updates so far.
    """

    def __init__(self, model: M, decay: float) -> None:
        self.model = copy.deepcopy(model).eval().requires_grad_(False)
        self.decay = decay
        self.updates = 0

    @torch.no_grad()
    def update(self, model: M) -> None:
        """Move the average towards the model's current state."""
        decay = min(self.decay, (1 + self.updates) / (10 + self.updates))
        self.updates += 1
        mine, theirs = [], []
        for old, new in zip(
            self.model.state_dict().values(), model.state_dict().values(), strict=True
        ):
            if old.is_floating_point():
                mine.append(old)
                theirs.append(new)
            else:
                old.copy_(new)
        torch._foreach_lerp_(mine, theirs, 1.0 - decay)
