"""Blocks of the encoder computed again in the backward pass (`model.gradient_checkpointing`).

Worthwhile where memory limits the batch: between the passes only the input of each block is held.
Gradients, statistics of batch normalization and random numbers stay the same.
"""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from types import MethodType
from typing import Any

from torch import nn
from torch.utils.checkpoint import checkpoint

from ke2nt.errors import ModelError
from ke2nt.models.batch_norms import keep_statistics
from ke2nt.models.layer_groups import find_layer_groups

__all__ = ["checkpoint_blocks"]


def checkpoint_blocks(net: nn.Module) -> None:
    """Let the blocks of an encoder compute their forward pass again when gradients need it.

    In place, and in training mode alone; parameters and saved files stay the same.

    Raises:
        ModelError: The blocks of the encoder are not known.
    """
    names = find_layer_groups(net).blocks
    if not names:
        raise ModelError(
            "model.gradient_checkpointing: the blocks of this encoder are not known",
            found=type(net).__name__,
        )
    for name in names:
        block: Any = net.get_submodule(name)
        block.forward = MethodType(_forward, block)


def _forward(self: nn.Module, *inputs: Any, **options: Any) -> Any:
    """Takes the place of a block's forward pass."""
    forward = MethodType(type(self).forward, self)
    if not self.training:
        return forward(*inputs, **options)

    def contexts() -> tuple[AbstractContextManager[None], AbstractContextManager[None]]:
        # the second pass must not count the same images again
        return nullcontext(), keep_statistics(self)

    return checkpoint(forward, *inputs, use_reentrant=False, context_fn=contexts, **options)
