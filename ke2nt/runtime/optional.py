"""Import optional packages; the error for a missing one names the command that installs it."""

from __future__ import annotations

import importlib
from types import ModuleType

from ke2nt.errors import MissingExtraError

__all__ = ["import_optional"]


def import_optional(module: str, *, extra: str, purpose: str) -> ModuleType:
    """Import a module of an optional package.

    Args:
        module: The module.
        extra: The extra of ke2nt that installs it.
        purpose: What it is needed for.

    Raises:
        MissingExtraError: The package is not installed.
    """
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        # the package is installed, and one of its own imports is missing
        if error.name and module.split(".")[0] != error.name.split(".")[0]:
            raise
        raise MissingExtraError(module.split(".")[0], extra=extra, purpose=purpose) from error
