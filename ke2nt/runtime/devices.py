"""Where to compute and in which precision."""

from __future__ import annotations

import platform
from typing import TYPE_CHECKING, Literal

from ke2nt.errors import ConfigError

if TYPE_CHECKING:
    import torch

__all__ = [
    "ComputePrecision",
    "Precision",
    "computes_in_bf16",
    "resolve_precision",
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
            found=str(error).splitlines()[0][:100],
            hint="Use --device cpu, or device=cpu; ke2nt doctor shows what is wrong with a GPU.",
        ) from error
    return device


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
