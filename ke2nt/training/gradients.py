"""Forward and backward pass of a step as one function, with the options of the configuration."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from ke2nt.config.schema import TrainConfig
from ke2nt.errors import TrainingError
from ke2nt.runtime.distributed import average, world_size
from ke2nt.runtime.sharding import is_shard, is_sharded
from ke2nt.training.speed.cuda_graph import RecordedStep, resolve_cuda_graphs
from ke2nt.training.task import StepResult, Task

__all__ = ["gradient_function"]

Forward = Callable[[Any, str], StepResult]
"""Inputs of a step and turn → loss and parts."""


def gradient_function(task: Task, config: TrainConfig) -> Forward:
    """Return a function that leaves the gradients of a turn in the parameters.

    Its result is detached. With several processes the gradients are averaged; with `cuda_graphs`
    the work is recorded once and replayed.

    Raises:
        TrainingError: The task's steps cannot be recorded as a CUDA graph.
    """
    supported = task.supports_cuda_graph and not config.model.gradient_checkpointing
    recorded = resolve_cuda_graphs(config.cuda_graphs, task.compute.device, supported=supported)
    if recorded:
        _check_can_be_recorded(task)
    forward, optimizer = _distribute_step(task), task.state.optimizer
    whole = _whole_parameters(task)

    def compute_gradients(inputs: Any, turn: str) -> StepResult:
        loss, parts = forward(inputs, turn)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        average([parameter.grad for parameter in whole if parameter.grad is not None])
        return StepResult(loss.detach(), parts)

    if recorded:
        return RecordedStep(compute_gradients, task.compute.device)
    return compute_gradients


def _check_can_be_recorded(task: Task) -> None:
    # recorded kernels cannot wait for other processes
    if not task.supports_cuda_graph or world_size() > 1:
        raise TrainingError(
            "the steps of this run cannot be recorded as a CUDA graph",
            expected="plain training, in one process",
            found=f"{task.command}, {world_size()} process(es)",
            hint="Use cuda_graphs=false.",
        )


def _whole_parameters(task: Task) -> list[nn.Parameter]:
    """Parameters beside those of a sharded model, such as a logit scale; none without one."""
    if not is_sharded(task.state.model):
        return []
    parameters = [p for module in task.state.modules.values() for p in module.parameters()]
    return [p for p in parameters if p.requires_grad and not is_shard(p)]


class _StepModule(nn.Module):
    """A task's step as the forward pass of a module, as torch's data parallelism wants it."""

    def __init__(self, task: Task) -> None:
        super().__init__()
        for name, module in task.state.modules.items():
            self.add_module(name, module)
        # torch warns where it finds no unused parameter, although another step may have one
        self.unused = nn.Parameter(torch.zeros((), device=task.compute.device))
        self._step = task.step

    def forward(self, inputs: Any, turn: str) -> tuple[Tensor, dict[str, Tensor]]:
        loss, parts = self._step(inputs, turn)
        return loss, parts


def _distribute_step(task: Task) -> Forward:
    """Return the task's step; with several processes its backward pass averages the gradients.

    The task's modules stay the same: checkpoints and evaluation know nothing of the wrapper. The
    modules of a sharded model average their gradients themselves.
    """
    if world_size() == 1 or is_sharded(task.state.model):
        return task.step

    wrapped = DistributedDataParallel(
        _StepModule(task),
        broadcast_buffers=False,  # statistics are synchronized or averaged elsewhere
        find_unused_parameters=True,  # a loss of weight 0 leaves its head without a gradient
    )

    def forward(inputs: Any, turn: str) -> StepResult:
        return StepResult(*wrapped(inputs, turn))

    return forward
