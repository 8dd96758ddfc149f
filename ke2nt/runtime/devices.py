"""Where to compute and in which precision."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from ke2nt.errors import ConfigError

if TYPE_CHECKING:
    import torch

__all__ = ["Precision", "usable_device", "uses_bf16"]

Precision = Literal["auto", "fp32", "bf16"]


def usable_device(name: str | torch.device | None) -> torch.device:
    """The device asked for, or for None the GPU where there is one.

    A device that is asked for is tried. The GPU of None is not: a launcher's processes each choose
    their own later, and memory of the first one would be taken by all of them.

    Raises:
        ConfigError: It cannot be used here.
    """
    import torch

    if name is None:
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.empty(1, device=device).cpu()
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        raise ConfigError(
            f"the device {str(name)!r} cannot be used here",
            expected="cpu, or cuda with a working GPU",
            found=str(error).splitlines()[0][:100],
        ) from error
    return device


def uses_bf16(precision: Precision, device: torch.device) -> bool:
    """Whether a precision means bfloat16 autocast on a device; "auto" does on CUDA."""
    return precision == "bf16" or (precision == "auto" and device.type == "cuda")
