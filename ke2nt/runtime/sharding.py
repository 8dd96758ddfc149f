"""Sharded tensors: each process holds a part of them, as torch's `fully_shard` leaves it.

torch's class for them, `DTensor`, takes more than a second to import, so this file knows such a
tensor by its methods.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from ke2nt.runtime.distributed import is_main

__all__ = ["gather_state", "gather_tensor", "is_shard", "is_sharded", "local_part", "shard_like"]


def is_shard(value: Tensor) -> bool:
    """Whether this process holds only a part of a tensor."""
    return hasattr(value, "full_tensor")


def is_sharded(module: nn.Module) -> bool:
    """Whether this process holds only a part of a module's parameters.

    Each of its forward passes gathers them, so all processes must run it equally often.
    """
    return any(is_shard(parameter) for parameter in module.parameters())


def local_part(value: Tensor) -> Tensor:
    """Return the part of a tensor that this process holds, in the same memory."""
    shard: Any = value
    return shard.to_local() if is_shard(value) else value


def gather_tensor(value: Tensor) -> Tensor:
    """Return the whole tensor; every process must call this for the same one."""
    shard: Any = value.detach()
    return shard.full_tensor() if is_shard(value) else shard


def gather_state(module: nn.Module) -> dict[str, Tensor]:
    """Return a module's state dict with whole tensors on the main process, on the others nothing.

    Every process must call this. Gathered tensors move to the CPU one by one: all of them together
    may not fit into the memory of a device.
    """
    state = {}
    for name, value in module.state_dict().items():
        whole = gather_tensor(value)
        if is_main():
            state[name] = whole.cpu() if is_shard(value) else whole
    return state


def shard_like(value: Tensor, like: Tensor) -> Tensor:
    """Return this process's part of a tensor, divided as another tensor of its shape is.

    Args:
        value: The whole tensor, the same in every process.
        like: A tensor that may be sharded; if not, `value` is returned.
    """
    if not is_shard(like) or value.shape != like.shape:
        return value
    from torch.distributed.tensor import distribute_tensor

    shard: Any = like
    # each process takes its part of the value that it holds, so none has to be sent
    whole = value.to(like.device)
    return distribute_tensor(whole, shard.device_mesh, shard.placements, src_data_rank=None)
