"""Where to compute and in which precision."""

from __future__ import annotations

import os
import platform
import re
from typing import TYPE_CHECKING, Literal

from ke2nt.errors import ConfigError, TrainingError
from ke2nt.runtime.formatting import first_line

if TYPE_CHECKING:
    import torch

__all__ = [
    "ComputePrecision",
    "Precision",
    "computes_in_bf16",
    "resolve_precision",
    "training_device",
    "usable_device",
]

Precision = Literal["auto", "fp32", "bf16"]
ComputePrecision = Literal["fp32", "bf16"]


def usable_device(name: str | torch.device | None) -> torch.device:
    """Return the requested device, or for None the GPU if there is one.

    A requested device is tried out. The GPU chosen for None is not: each process of a launcher
    chooses its GPU later, and a trial here would take memory of the first GPU in all of them.

    Raises:
        ConfigError: The device cannot be used here.
    """
    import torch

    if name is None:
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")

    # a driver that is too old, or a full GPU, shows only when memory is used
    try:
        device = torch.device(name)
        torch.empty(1, device=device).cpu()
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        raise ConfigError(
            f"the device {str(name)!r} cannot be used here",
            expected="cpu, or cuda with a working GPU",
            found=first_line(error),
            hint="Use --device cpu, or device=cpu; ke2nt doctor shows what is wrong with a GPU.",
        ) from error
    return device


def training_device(name: str) -> torch.device:
    """Return the device to train on; "cuda:N" becomes "cuda", after GPU N is made the current one.

    Unlike `usable_device`, this may choose MPS, and does not try the device out.

    Args:
        name: "cpu", "cuda", "cuda:N", "mps", or "auto" for the best that there is.

    Raises:
        TrainingError: The name is unknown, or there is no such device.
    """
    import torch

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


def resolve_precision(precision: Precision, device: torch.device) -> ComputePrecision:
    """Return what a precision setting means on a device.

    Args:
        precision: "fp32", "bf16" (autocast), or "auto": bf16 where the device computes in it
            natively, fp32 elsewhere.
        device: Where the computation runs.
    """
    if precision != "auto":
        return precision
    return "bf16" if computes_in_bf16(device) else "fp32"


def computes_in_bf16(device: torch.device) -> bool:
    """Whether a device has bfloat16 instructions; one without them is many times slower in it."""
    import torch

    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    if device.type != "cpu":
        return False
    if platform.machine().lower() in ("x86_64", "amd64"):
        return torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()
    return bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())


def _select_gpu(index: int) -> None:
    """Make a GPU the one that "cuda" means in this process."""
    import torch

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
