"""Gradients averaged over processes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from ke2nt.runtime.distributed import world_size
from ke2nt.training.task import StepResult, Task

__all__ = ["Forward", "distribute_step"]

Forward = Callable[[Any, str], StepResult]
"""Inputs of a step and turn → loss and parts."""


class _StepModule(nn.Module):
    """A task's step as the forward pass of a module, as torch's data parallelism wants it."""

    def __init__(self, task: Task) -> None:
        super().__init__()
        for name, module in task.state.modules.items():
            self.add_module(name, module)
        # torch warns where it finds no unused parameter, although another step may have one.
        self.unused = nn.Parameter(torch.zeros((), device=task.compute.device))
        self._step = task.step

    def forward(self, inputs: Any, turn: str) -> tuple[Tensor, dict[str, Tensor]]:
        loss, parts = self._step(inputs, turn)
        return loss, parts


def distribute_step(task: Task) -> Forward:
    """Return the task's step; with several processes its backward pass averages the gradients.

    The task's modules stay the same: checkpoints and evaluation know nothing of the wrapper. This
    is also the place for torch's FSDP2 (`fully_shard`), which ke2nt does not offer: the optimizer
    would have to be built after sharding, and checkpoints would have to gather the shards.
    """
    if world_size() == 1:
        return task.step

    wrapped = DistributedDataParallel(
        _StepModule(task),
        broadcast_buffers=False,  # statistics are synchronized or averaged elsewhere
        find_unused_parameters=True,  # a loss of weight 0 leaves its head without a gradient
    )

    def forward(inputs: Any, turn: str) -> StepResult:
        return StepResult(*wrapped(inputs, turn))

    return forward
