"""Exponential moving average of a model's weights and buffers."""

from __future__ import annotations

import copy
from typing import Generic, TypeVar

import torch
from torch import Tensor, nn

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
        self._followed: tuple[M, list[tuple[list[Tensor], list[Tensor]]]] | None = None

    @torch.no_grad()
    def update(self, model: M) -> None:
        """Move the average towards the model's current state."""
        decay = min(self.decay, (1 + self.updates) / (10 + self.updates))
        self.updates += 1
        floating, others = self._tensors(model)
        torch._foreach_lerp_(*floating, 1.0 - decay)
        if others[0]:
            torch._foreach_copy_(*others)

    def _tensors(self, model: M) -> list[tuple[list[Tensor], list[Tensor]]]:
        """The average's tensors and the model's: floating ones, then counts.

        Found once: training changes them in place, and to walk a model takes as long as to average.
        """
        if self._followed is None or self._followed[0] is not model:
            pairs = list(
                zip(self.model.state_dict().values(), model.state_dict().values(), strict=True)
            )
            parts = [
                [p for p in pairs if p[0].is_floating_point() is kind] for kind in (True, False)
            ]
            found = [([own for own, _ in part], [new for _, new in part]) for part in parts]
            self._followed = model, found
        return self._followed[1]
