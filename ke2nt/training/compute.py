"""Where a run computes, and in which precision."""

from __future__ import annotations

import os
import re
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

import torch
from torch import Tensor

from ke2nt.config.schema import TrainConfig
from ke2nt.errors import TrainingError
from ke2nt.runtime.devices import ComputePrecision, resolve_precision

__all__ = ["Compute", "choose_compute"]


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
        # A GPU reads page-locked memory while the host goes on.
        if self.device.type == "cuda" and value.device.type == "cpu":
            value = value.pin_memory()
        return value.to(self.device, non_blocking=True)


def choose_compute(config: TrainConfig) -> Compute:
    """Choose the device and precision that a configuration asks for.

    Raises:
        TrainingError: The requested device is not available.
    """
    device = _choose_device(config.device)
    return Compute(device, resolve_precision(config.precision, device))


def _choose_device(name: str) -> torch.device:
    if not re.fullmatch(r"auto|cpu|cuda(:\d+)?|mps", name):
        raise TrainingError("unknown device", expected="auto, cpu, cuda, cuda:N or mps", found=name)
    has_cuda, has_mps = torch.cuda.is_available(), torch.backends.mps.is_available()
    if name.startswith("cuda") and not has_cuda:
        raise TrainingError(
            "no CUDA device is available", found=f"device={name}", hint="Use device=cpu or auto."
        )
    if name == "mps" and not has_mps:
        raise TrainingError(
            "no MPS device is available", found=f"device={name}", hint="Use device=cpu or auto."
        )

    # "cuda" means the current GPU of this process
    if name.startswith("cuda:"):
        _select_gpu(int(name.removeprefix("cuda:")))
    if name == "auto":
        name = "mps" if has_mps else "cuda" if has_cuda else "cpu"
    return torch.device(name.split(":")[0])


def _select_gpu(index: int) -> None:
    """Make a GPU the one that "cuda" means in this process."""
    gpus = torch.cuda.device_count()
    launched = "LOCAL_RANK" in os.environ
    if launched or index >= gpus:
        raise TrainingError(
            "this GPU cannot be chosen",
            expected="device=cuda, for a launcher gives each process its own"
            if launched
            else f"cuda:0 to cuda:{gpus - 1}",
            found=f"device=cuda:{index}",
        )
    torch.cuda.set_device(index)
