"""Import optional packages; the error for a missing one names the command that installs it."""

from __future__ import annotations

import importlib
import os
from types import ModuleType

from ke2nt.errors import ConfigError, MissingExtraError

__all__ = ["import_optional"]

_HINTS = {
    "cv2": "Install the library that it names; on a server, replace opencv-python by "
    "opencv-python-headless, which needs none.",
}
_ENVIRONMENT = {
    # from 1.32 on it reports its use to its maker, with a number that it stores for this machine
    "onnxruntime": {"ORT_DISABLE_TELEMETRY": "1"},
}
"""Variables that packages read when they are imported; a value that the user has set stays."""


def import_optional(module: str, *, extra: str, purpose: str) -> ModuleType:
    """Import a module of an optional package.

    Args:
        module: The module.
        extra: The extra of ke2nt that installs it.
        purpose: What it is needed for.

    Raises:
        MissingExtraError: The package is not installed.
        ConfigError: It is installed, but cannot be loaded.
    """
    package = module.split(".")[0]
    for variable, value in _ENVIRONMENT.get(package, {}).items():
        os.environ.setdefault(variable, value)
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        # the package is installed, and one of its own imports is missing
        if error.name and package != error.name.split(".")[0]:
            raise
        raise MissingExtraError(package, extra=extra, purpose=purpose) from error

    # a compiled package lacks a library of the system, such as OpenCV without libGL.so.1
    except ImportError as error:
        raise ConfigError(
            f"the package {package}, needed for {purpose}, is installed but cannot be loaded",
            found=error,
            hint=_HINTS.get(package, f"Type: pip install --force-reinstall {package}"),
        ) from error
