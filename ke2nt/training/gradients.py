"""Forward and backward pass of a step as one function, with the options of the configuration."""

from __future__ import annotations

from typing import Any

from ke2nt.config.schema import TrainConfig
from ke2nt.errors import TrainingError
from ke2nt.runtime.distributed import world_size
from ke2nt.training.parallel import Forward, distribute_step
from ke2nt.training.speed.cuda_graph import record_step
from ke2nt.training.task import StepResult, Task

__all__ = ["gradient_function"]


def gradient_function(task: Task, config: TrainConfig) -> Forward:
    """Return a function that leaves the gradients of a turn in the parameters.

    Its result is detached. With several processes the gradients are averaged; with `cuda_graphs`
    the work is recorded once and replayed.

    Raises:
        TrainingError: The task's steps cannot be recorded as a CUDA graph.
    """
    forward, optimizer = distribute_step(task), task.state.optimizer

    def compute_gradients(inputs: Any, turn: str) -> StepResult:
        loss, parts = forward(inputs, turn)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        return StepResult(loss.detach(), parts)

    if not config.cuda_graphs:
        return compute_gradients

    # recorded kernels cannot wait for other processes
    if not task.supports_cuda_graph or world_size() > 1:
        raise TrainingError(
            "the steps of this run cannot be recorded as a CUDA graph",
            expected="plain training, in one process",
            found=f"{task.command}, {world_size()} process(es)",
            hint="Use cuda_graphs=false.",
        )
    return record_step(compute_gradients, task.compute.device)
