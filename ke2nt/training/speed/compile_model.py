"""The model compiled for training (`compile=true`).

Worthwhile for long runs: `torch.compile` fuses operations, and the first step takes minutes. On a
CPU it needs a C++ compiler.
"""

from __future__ import annotations

from collections.abc import Callable
from types import MethodType
from typing import Any, TypeVar

import torch
from torch import Tensor

from ke2nt.config.schema import TrainConfig
from ke2nt.errors import TrainingError
from ke2nt.models.base import ExpressionModel
from ke2nt.runtime.distributed import world_size
from ke2nt.runtime.formatting import first_line

__all__ = ["compile_for_training", "compiled_forward"]

T = TypeVar("T")


def compile_for_training(model: ExpressionModel, config: TrainConfig) -> None:
    """Compile a model's forward pass in training mode, in place; it compiles on its first call.

    Parameters, saved files and the forward pass in evaluation mode stay the same.

    Raises:
        TrainingError: Batch normalization waits for other processes, or there are attention heads;
            also as `compiled_forward`.
    """
    if world_size() > 1 and config.optim.sync_batch_norm:
        raise TrainingError(
            "batch normalization that waits for other processes cannot be compiled",
            hint="Use optim.sync_batch_norm=false, or compile=false.",
        )
    if config.model.attention is not None:
        raise TrainingError(
            "a model with attention heads cannot be compiled",
            found="compile=true and model.attention",
            hint="Use compile=false.",
        )
    in_training = compiled_forward(MethodType(type(model).forward, model))

    def forward(self: ExpressionModel, images: Tensor) -> Any:
        return in_training(images) if self.training else type(self).forward(self, images)

    model.forward = MethodType(forward, model)  # type: ignore[method-assign]


def compiled_forward(model: Callable[[Tensor], T]) -> Callable[[Tensor], T]:
    """Return a forward pass that is compiled on its first call.

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
                found=first_line(error),
                hint="Use compile=false, or install a C++ compiler.",
            ) from error

    return forward
