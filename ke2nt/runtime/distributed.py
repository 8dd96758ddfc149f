"""Several processes that work on one run, as `torchrun` or `accelerate launch` start them.

Every process runs the same code on its share; process 0, the main one, writes and prints. With a
single process, each function here does nothing.
"""

from __future__ import annotations

import atexit
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

import torch
from torch import Tensor
from torch import distributed as dist

from ke2nt.errors import ConfigError, Ke2ntError

__all__ = [
    "any_process",
    "average",
    "barrier",
    "gather_objects",
    "gather_rows",
    "is_main",
    "join_group",
    "process_rows",
    "rank",
    "sum_over_processes",
    "together",
    "world_size",
]

T = TypeVar("T")


def rank() -> int:
    """Return the number of this process, from 0."""
    return dist.get_rank() if _has_joined() else 0


def world_size() -> int:
    """Return the number of processes."""
    return dist.get_world_size() if _has_joined() else 1


def is_main() -> bool:
    """Whether this process writes and prints."""
    return rank() == 0


def process_rows() -> slice:
    """Return the rows of a global batch that this process computes."""
    return slice(rank(), None, world_size())


def join_group(device: torch.device | str | None = None) -> None:
    """Join the processes that the launcher started with this one, until this one ends.

    Joining again does nothing: a group that is left and formed again may meet addresses of the
    first one.

    Args:
        device: "cpu" to compute there; otherwise each process has a GPU, where there are any.

    Raises:
        ConfigError: The launcher started more processes than this machine has GPUs.
    """
    if _has_joined() or int(os.environ.get("WORLD_SIZE", "1")) == 1:
        return

    # NCCL connects GPUs, gloo CPUs
    on_gpu = torch.cuda.is_available() and str(device) != "cpu"
    if on_gpu:
        _select_local_gpu()
    dist.init_process_group("nccl" if on_gpu else "gloo")
    atexit.register(_leave_group)


def _select_local_gpu() -> None:
    """Give each process of this machine a GPU of its own."""
    local, gpus = int(os.environ.get("LOCAL_RANK", "0")), torch.cuda.device_count()
    if local >= gpus:
        raise ConfigError(
            "there are more processes than GPUs on this machine",
            expected=f"at most {gpus}",
            found=f"process {local}, counted from 0",
            hint="Start fewer processes, or compute on the CPU.",
        )
    torch.cuda.set_device(local)


def _has_joined() -> bool:
    return dist.is_available() and dist.is_initialized()


def _leave_group() -> None:
    if _has_joined():
        dist.destroy_process_group()


def barrier() -> None:
    """Wait until every process is here."""
    if world_size() > 1:
        dist.barrier()


def any_process(flag: bool, device: torch.device) -> bool:
    """Whether the flag is set in any process; on an accelerator this waits for its queue."""
    if world_size() == 1:
        return flag

    # the sum is positive if any flag is set
    total = torch.tensor(float(flag), device=device)
    dist.all_reduce(total)
    return bool(total > 0)


def sum_over_processes(value: Tensor) -> Tensor:
    """Add up a tensor over all processes, in place; no gradient."""
    if world_size() > 1:
        dist.all_reduce(value)
    return value


def average(values: Sequence[Tensor]) -> None:
    """Replace tensors by their mean over the processes, which must have the same ones."""
    if world_size() == 1 or not values:
        return

    # one message for all of them
    flat = torch.cat([value.flatten() for value in values])
    dist.all_reduce(flat)
    flat /= world_size()

    for value, mean in zip(values, flat.split([v.numel() for v in values]), strict=True):
        value.copy_(mean.view_as(value))


@contextmanager
def together() -> Iterator[None]:
    """Turn a `Ke2ntError` of any process into an error of all, so that none waits in vain."""
    error: Ke2ntError | None = None
    try:
        yield
    except Ke2ntError as caught:
        error = caught

    # the first process's error, if several failed
    for each in gather_objects(error):
        if each is not None:
            raise each


def gather_objects(value: T) -> list[T]:
    """Return the value of every process, in order of their numbers; it must be picklable."""
    if world_size() == 1:
        return [value]
    values: list[Any] = [None] * world_size()
    dist.all_gather_object(values, value)
    return values


def gather_rows(value: Tensor) -> Tensor:
    """Concatenate (B, ...) tensors of equal shape over all processes: (W·B, ...).

    Differentiable, for a loss that every process computes on the result.
    """
    if world_size() == 1:
        return value
    gathered: Tensor = _GatherRows.apply(value)
    return gathered


class _GatherRows(torch.autograd.Function):
    """Rows of all processes; every process then computes the same loss on them.

    The gradient is that of this process's rows, times the number of processes, so that the mean of
    the processes' parameter gradients is the gradient of the loss.
    """

    @staticmethod
    def forward(ctx: Any, value: Tensor) -> Tensor:
        ctx.rows = len(value)
        # (B, ...) of each process
        parts = [torch.empty_like(value) for _ in range(world_size())]
        dist.all_gather(parts, value.contiguous())
        return torch.cat(parts)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Tensor:
        # the average over processes divides by their number again
        start = rank() * ctx.rows
        return grads[0][start : start + ctx.rows] * world_size()
