"""Where to compute: a device that is asked for, or the GPU where there is one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ke2nt.errors import ConfigError

if TYPE_CHECKING:
    import torch

__all__ = ["usable_device"]


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
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        raise ConfigError(
            f"the device {str(name)!r} cannot be used here",
            expected="cpu, or cuda with a working GPU",
            found=str(error).splitlines()[0],
        ) from error
    return device
