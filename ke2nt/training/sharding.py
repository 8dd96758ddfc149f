"""Models sharded over the processes (`sharding=full`), for encoders that do not fit one card.

torch's FSDP2 (`fully_shard`) leaves each process a part of every parameter, of its gradient and of
the optimizer's state. A block's parameters are gathered for its forward pass, freed, gathered again
for its backward pass, and freed. The numbers are those of whole models.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn

from ke2nt.config.schema import TrainConfig
from ke2nt.errors import TrainingError
from ke2nt.runtime.distributed import sum_over_processes, world_size
from ke2nt.runtime.sharding import is_shard, local_part

__all__ = ["check_sharding", "clip_gradients", "find_blocks", "shard_model"]

_SEQUENCES = (nn.Sequential, nn.ModuleList, nn.ModuleDict)


def check_sharding(config: TrainConfig) -> None:
    """Check that there are several processes, if the model is to be sharded.

    Raises:
        TrainingError: There is one process.
    """
    if config.sharding != "none" and world_size() == 1:
        raise TrainingError(
            "a model cannot be sharded over one process",
            expected="several processes for sharding=full",
            found="1 process",
            hint="Start it with: torchrun --nproc-per-node 2 -m ke2nt train …; or use "
            "sharding=none.",
        )


def shard_model(model: nn.Module, device: torch.device, *, method: str | None = None) -> None:
    """Leave each process its part of a model, in place; the parts move to the device.

    Names, shapes and values of the parameters stay the same. Scalars stay whole in every process.

    Args:
        model: A model that is the same in every process.
        device: Where the parts live.
        method: A method that is called in place of the model's forward pass.
    """
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import fully_shard, register_fsdp_forward_method

    # scalars have no dimension to divide, and only contiguous memory can be divided
    scalars = {parameter for parameter in model.parameters() if parameter.ndim == 0}
    for parameter in model.parameters():
        parameter.data = parameter.data.contiguous()
    for scalar in scalars:
        scalar.data = scalar.data.to(device)

    # what no block has is gathered together, around the whole forward pass; after each pass, the
    # parameters of a model are the parts
    mesh = init_device_mesh(device.type, (world_size(),))
    for module in (*find_blocks(model), model):
        module.register_forward_hook(_copy_view)
        fully_shard(module, mesh=mesh, reshard_after_forward=True, ignored_params=scalars)
    if method is not None:
        register_fsdp_forward_method(model, method)


def _copy_view(module: nn.Module, inputs: Any, output: Any) -> Any:
    """Forward hook: a block's output is no view of another tensor.

    Its backward pass begins with a hook on the output, which a view that is changed in place loses.
    """
    is_view = isinstance(output, Tensor) and output._is_view()
    return output.clone() if is_view else output


def find_blocks(model: nn.Module) -> list[nn.Module]:
    """Return the blocks of an encoder, each after the blocks inside it.

    A block is an element of a sequence and has layers of its own, such as a transformer's block or
    a residual block, and each stage of these.
    """
    elements = [
        element
        for sequence in model.modules()
        if isinstance(sequence, _SEQUENCES)
        for element in sequence.children()
    ]
    blocks = [
        element
        for element in elements
        if not isinstance(element, _SEQUENCES)
        and any(True for _ in element.children())
        and any(True for _ in element.parameters())
    ]
    # `modules` names the outer ones first; a block that occurs twice counts once
    return list(reversed(dict.fromkeys(blocks)))


def clip_gradients(parameters: Iterable[nn.Parameter], limit: float) -> None:
    """Scale the gradients of a model down to a norm over all of them.

    Args:
        parameters: Whole parameters, or parts of them; without a gradient they are left out.
        limit: Largest norm.
    """
    parameters = list(parameters)
    if not any(is_shard(parameter) for parameter in parameters):
        torch.nn.utils.clip_grad_norm_(parameters, limit)
        return

    # the norm of a whole gradient is known to each process, that of the parts is summed over all
    gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
    parts = [local_part(gradient) for gradient in gradients if is_shard(gradient)]
    whole = [gradient for gradient in gradients if not is_shard(gradient)]
    total = sum_over_processes(torch.nn.utils.get_total_norm(parts).square())
    norm = (total + torch.nn.utils.get_total_norm(whole).square()).sqrt()

    # as torch does it, without waiting for the device
    torch._foreach_mul_(parts + whole, (limit / (norm + 1e-6)).clamp(max=1.0))
