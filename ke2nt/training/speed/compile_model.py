"""A model compiled for training, where the configuration asks for it."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import torch
from torch import Tensor

from ke2nt.config.schema import TrainConfig
from ke2nt.errors import TrainingError
from ke2nt.models.base import ExpressionModel
from ke2nt.models.output import KE2NTOutput
from ke2nt.runtime.distributed import world_size

__all__ = ["compiled", "compiled_forward"]

Forward = Callable[[Tensor], KE2NTOutput]
T = TypeVar("T")


def compiled(model: ExpressionModel, config: TrainConfig) -> Forward:
    """The model's forward pass, compiled if `config.compile`; it compiles on its first call.

    Parameters stay the model's own, so that checkpoints and evaluation do not know of it.

    Raises:
        TrainingError: Batch normalization waits for other processes, or there are attention heads;
            also as `compiled_forward`.
    """
    if not config.compile:
        return model
    if world_size() > 1 and config.optim.sync_batch_norm:
        raise TrainingError(
            "a model whose batch normalization waits for other processes cannot be compiled",
            hint="Use optim.sync_batch_norm=false, or compile=false.",
        )
    if config.model.attention is not None:
        raise TrainingError(
            "a model with attention heads cannot be compiled",
            found="compile=true and model.attention",
            hint="Use compile=false.",
        )
    return compiled_forward(model)


def compiled_forward(model: Callable[[Tensor], T]) -> Callable[[Tensor], T]:
    """A forward pass that is compiled on its first call.

    Raises:
        TrainingError: On that call: there is no compiler, or it fails.
    """
    from torch._dynamo.exc import TorchDynamoException  # torch.compile's own errors; slow to import

    run: Callable[[Tensor], T] = torch.compile(model, mode="default", dynamic=False)

    def forward(images: Tensor) -> T:
        try:
            return run(images)
        except TorchDynamoException as error:
            raise TrainingError(
                "the model cannot be compiled",
                found=(str(error).strip() or type(error).__name__).splitlines()[0],
                hint="Use compile=false, or install a C++ compiler.",
            ) from error

    return forward
