"""Where a run computes, and in which precision."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

import torch
from torch import Tensor

from ke2nt.config.schema import TrainConfig
from ke2nt.runtime.devices import ComputePrecision, resolve_precision, training_device

__all__ = ["EVAL_BATCH_SIZE", "Compute", "choose_compute"]

EVAL_BATCH_SIZE = 256
"""Images of a forward pass without gradients, whatever the batch size of training."""


@dataclass(frozen=True)
class Compute:
    """Device and precision of a run.

    Attributes:
        device: Where models and batches live.
        precision: "fp32", or "bf16" for autocast to bfloat16.
    """

    device: torch.device
    precision: ComputePrecision = "fp32"

    def autocast(self) -> AbstractContextManager[object]:
        """Context for forward passes; does nothing in fp32."""
        if self.precision == "fp32":
            return nullcontext()
        return torch.autocast(self.device.type, dtype=torch.bfloat16)

    def to_device(self, value: Tensor) -> Tensor:
        """Copy a tensor to the device without waiting for it."""
        # a GPU reads page-locked memory while the host goes on
        if self.device.type == "cuda" and value.device.type == "cpu":
            value = value.pin_memory()
        return value.to(self.device, non_blocking=True)


def choose_compute(config: TrainConfig) -> Compute:
    """Choose the device and precision that a configuration asks for.

    Raises:
        TrainingError: The requested device is not available.
    """
    device = training_device(config.device)
    return Compute(device, resolve_precision(config.precision, device))
