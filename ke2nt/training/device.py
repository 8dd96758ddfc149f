"""Device and precision through accelerate; the only file that imports it."""

from __future__ import annotations

import os
import re
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import torch
from torch import Tensor

from ke2nt.config.schema import TrainConfig
from ke2nt.errors import TrainingError
from ke2nt.runtime.devices import Precision, resolve_precision

if TYPE_CHECKING:
    from accelerate import Accelerator

__all__ = ["Compute", "make_accelerator", "precision_of"]


@dataclass(frozen=True)
class Compute:
    """Device and precision of a run.

    Attributes:
        device: Where models and batches live.
        precision: "fp32", or "bf16" for autocast to bfloat16.
    """

    device: torch.device
    precision: Literal["fp32", "bf16"] = "fp32"

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


def make_accelerator(config: TrainConfig) -> Accelerator:
    """An accelerator for the configured device and precision.

    Raises:
        TrainingError: The device that was asked for is not there.
    """
    from accelerate import Accelerator
    from accelerate.state import AcceleratorState

    device = config.device
    if not re.fullmatch(r"auto|cpu|cuda(:\d+)?|mps", device):
        raise TrainingError(
            "unknown device", expected="auto, cpu, cuda, cuda:N or mps", found=device
        )
    if device.startswith("cuda") and not torch.cuda.is_available():
        raise TrainingError(
            "no CUDA device is available", found=f"device={device}", hint="Use device=cpu or auto."
        )
    if device == "mps" and not torch.backends.mps.is_available():
        raise TrainingError(
            "no MPS device is available", found="device=mps", hint="Use device=cpu or auto."
        )
    if device.startswith("cuda:"):
        _choose_gpu(int(device.removeprefix("cuda:")))
    wanted = resolve_precision(config.precision, _device_of(config))
    # accelerate keeps one state a process; a second run may want another precision.
    AcceleratorState._reset_state(reset_partial_state=True)
    return Accelerator(mixed_precision="bf16" if wanted == "bf16" else "no", cpu=device == "cpu")


def precision_of(accelerator: Accelerator) -> Precision:
    """What it computes in: "bf16" (autocast) or "fp32"."""
    return "bf16" if accelerator.mixed_precision == "bf16" else "fp32"


def _choose_gpu(index: int) -> None:
    """Make it the one that "cuda" means in this process."""
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


def _device_of(config: TrainConfig) -> torch.device:
    """Return the device that the configuration means on this machine."""
    if config.device != "auto":
        return torch.device(config.device)
    if torch.cuda.is_available():
        return torch.device("cuda")
    return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
